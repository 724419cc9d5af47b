"""What is in a cache folder, and that deleting takes what no run uses and nothing else."""

import os
import tempfile
import time
from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_widgets.data.cache_contents import cached_files, delete
from lora_widgets.data.cache_layout import HASHES, LATENT_STORES, PARTS, T5_STORES, TEXT_STORES
from lora_widgets.data.file_hashes import FileHashes
from lora_widgets.data.last_use import DAY_S
from lora_widgets.data.tensor_store import DiskStore
from lora_widgets.errors import CacheError
from lora_widgets.training.known_parts import KnownParts

ENCODER, OTHER = "0123456789abcdef" * 2, "f" * 32
SHARD = "00001764400000000000-1a2b3c4d"


def store(cache, kind=LATENT_STORES, encoder=ENCODER, names=("a", "b")):
    made = DiskStore(cache / kind / encoder)
    with made.writing():
        for name in names:
            made.write(name, {"x": torch.zeros(4)})
    return made


def picture(folder):
    path = folder / "picture.png"
    path.write_bytes(b"picture")
    os.utime(path, (1e9, 1e9))
    return path


def fill(cache, pictures):
    """Make a cache with everything that runs write."""
    for kind in (LATENT_STORES, TEXT_STORES, T5_STORES):
        store(cache, kind)
    hashes = FileHashes(cache / HASHES, {pictures})
    hashes.of(pictures)
    hashes.save()
    KnownParts(cache / PARTS).remember(OTHER, ENCODER)


def age(folder, days):
    then = time.time() - days * DAY_S
    for path in folder.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (then, then))


def found(cache):
    return [files for _, _, several in cached_files(cache) for files in several]


def delete_all(cache, *, unused_days=30.0):
    since = time.time() - unused_days * DAY_S
    return sum(delete(files, unused_since=since) for files in found(cache) if files.used_at <= since)


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_everything_that_runs_write_is_found_with_its_size_and_deleted_when_old(tmp_path):
    cache = tmp_path / "cache"
    fill(cache, picture(tmp_path))
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    listed = found(cache)
    assert sum(files.bytes for files in listed) == size
    assert {(files.words, files.encoder, files.entries) for files in listed} == {
        ("latents", ENCODER, 2),
        ("captions", ENCODER, 2),
        ("captions for T5", ENCODER, 2),
        ("hashes of pictures", "", 0),
        ("fingerprints of models", "", 0),
    }
    assert delete_all(cache) == 0
    age(cache, 32)
    assert delete_all(cache) == size
    assert list(cache.iterdir()) == []


def test_a_folder_that_is_not_there_holds_nothing_and_one_that_is_none_is_named(tmp_path):
    assert found(tmp_path / "none") == []
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match="cannot be read"):
        found(tmp_path / "file")


@pytest.mark.parametrize("use", ["read", "state_of"])
def test_reading_counts_as_use_of_the_shard_alone(tmp_path, use):
    store(tmp_path, names=("a",))
    store(tmp_path, names=("b",))
    age(tmp_path, 40)
    getattr(DiskStore(tmp_path / LATENT_STORES / ENCODER), use)("a")
    delete_all(tmp_path)
    left = DiskStore(tmp_path / LATENT_STORES / ENCODER)
    assert (left.state_of("a"), left.state_of("b")) == ("whole", "absent")


def test_a_damaged_group_is_not_used_by_looking_at_it(tmp_path):
    store(tmp_path, names=("a",))
    (shard,) = tmp_path.rglob("*.tensors")
    shard.write_bytes(b"\0" * shard.stat().st_size)
    age(tmp_path, 40)
    assert DiskStore(tmp_path / LATENT_STORES / ENCODER).state_of("a") == "damaged"
    assert delete_all(tmp_path) > 0


def test_known_pictures_and_models_count_as_used(tmp_path):
    cache, path = tmp_path / "cache", picture(tmp_path)
    fill(cache, path)
    age(cache, 40)
    FileHashes(cache / HASHES, {tmp_path / "another.png"})
    KnownParts(cache / PARTS).fingerprint_of(ENCODER)
    assert {files.used_at > time.time() for files in found(cache)} == {False}
    FileHashes(cache / HASHES, {path})
    KnownParts(cache / PARTS).fingerprint_of(OTHER)
    used = {files.words for files in found(cache) if files.used_at > time.time()}
    assert used == {"hashes of pictures", "fingerprints of models"}


def test_a_use_within_a_day_writes_nothing_and_is_allowed_for(tmp_path):
    made = store(tmp_path)
    age(tmp_path, 0.9)
    times = [path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")]
    made.read("a")
    assert [path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")] == times
    age(tmp_path, 30.9)  # used until 29.9 days ago, for all that the times say
    assert delete_all(tmp_path) == 0


def test_what_a_run_takes_up_after_the_look_is_kept(tmp_path):
    store(tmp_path)
    age(tmp_path, 40)
    (files,) = found(tmp_path)
    DiskStore(tmp_path / LATENT_STORES / ENCODER).read("a")
    assert delete(files, unused_since=time.time() - 30 * DAY_S) == 0
    assert DiskStore(tmp_path / LATENT_STORES / ENCODER).state_of("a") == "whole"


def test_a_run_whose_entry_vanishes_is_told_so_and_another_encodes_it_again(tmp_path):
    running = store(tmp_path)
    age(tmp_path, 40)
    delete_all(tmp_path)
    with pytest.raises(CacheError, match=r"deleted while the run used it. Start again"):
        running.read("a")
    assert DiskStore(tmp_path / LATENT_STORES / ENCODER).state_of("a") == "absent"
    assert store(tmp_path).state_of("a") == "whole"


def test_half_a_shard_is_ours_too(tmp_path):
    for suffix in (".index", ".tensors"):
        store(tmp_path)
        next(tmp_path.rglob(f"*{suffix}")).unlink()
        age(tmp_path, 40)
        assert delete_all(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_deleted_is_named(tmp_path, monkeypatch):
    store(tmp_path)
    age(tmp_path, 40)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(CacheError, match=r"index of the cache cannot be deleted \(Permission denied\)"):
        delete_all(tmp_path)


def test_links_lead_nowhere(tmp_path):
    cache, elsewhere = tmp_path / "cache", tmp_path / "elsewhere"
    store(elsewhere)
    (cache / LATENT_STORES).mkdir(parents=True)
    try:
        (cache / TEXT_STORES).symlink_to(elsewhere / LATENT_STORES)
        (cache / LATENT_STORES / ENCODER).symlink_to(elsewhere / LATENT_STORES / ENCODER)
    except OSError:
        pytest.skip("this system makes no links")
    age(elsewhere, 40)
    assert delete_all(cache) == 0


# Names that are nearly ours, in places that are nearly ours.
FOLDERS = [
    *("", "pictures", "files", "parts", "latents-1", f"latents-1/{ENCODER}", f"text-1/{ENCODER}/more"),
    *(f"latents-2/{ENCODER}", f"latents-01/{ENCODER}", f"latents-0/{ENCODER}", f"latents/{ENCODER}"),
    *(f"other-1/{ENCODER}", f"latents-1/{OTHER.upper()}", f"latents-1/{ENCODER}0", f"t5-1/{ENCODER[1:]}"),
    *(f"t5-1/{ENCODER}", f"my/latents-1/{ENCODER}", "files/parts", f"parts/{ENCODER}"),
]
FILES = [
    *(f"{SHARD}.tensors", f"{SHARD}.index", f"{SHARD}.hashes", f"{SHARD}.png", f"{SHARD[:-1]}.index", OTHER),
    *(
        f"{SHARD}.index.bak",
        f"a{SHARD}.index",
        f"{SHARD}.INDEX",
        f"{OTHER}.txt",
        f"{OTHER}-1a2b3c4d",
        ENCODER,
    ),
    *("model.safetensors", "picture.png", "picture.txt", ".hashes", "notes.index", "style.tensors"),
]
CONTENTS = [b"", b"text", ENCODER.encode(), ENCODER.encode() + b"\n", ENCODER.encode() * 2]


def is_ours(folder, name, content):
    """Say which of the names above a run could have written."""
    if folder in (f"latents-1/{ENCODER}", f"t5-1/{ENCODER}"):
        return name in (f"{SHARD}.tensors", f"{SHARD}.index")
    if folder == "files":
        return name == f"{SHARD}.hashes"
    is_named_so = name in (OTHER, ENCODER, f"{OTHER}-1a2b3c4d")
    return folder == "parts" and is_named_so and content in (b"", ENCODER.encode())


def assert_only_ours_goes(files):
    """Write files (folder, name, content) into a cache, delete all of it, and see that others' are left."""
    with tempfile.TemporaryDirectory() as name:
        root, cache = Path(name), Path(name) / "cache"
        fill(cache, picture(root))
        foreign = set[str]()
        for folder, file, content in files:
            path = cache / folder / file
            with suppress(OSError):  # a file is where a folder would be
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                foreign |= set() if is_ours(folder, file, content) else {str(path.relative_to(cache))}
        age(cache, 400)
        delete_all(cache)
        assert files_in(cache) == foreign


@pytest.mark.parametrize("content", CONTENTS)
def test_whatever_is_nearly_called_as_ours_stays(content):
    assert_only_ours_goes(list(product(FOLDERS, FILES, [content])))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(FOLDERS),
            st.sampled_from(FILES)
            | st.text("abc0-._é", min_size=1, max_size=12).map(lambda text: f"x{text}"),
            st.sampled_from(CONTENTS),
        ),
        min_size=5,
        max_size=25,
        unique_by=lambda one: f"{one[0]}/{one[1]}".lower(),
    )
)
def test_no_file_of_others_is_ever_deleted(files):
    assert_only_ours_goes(files)
