import errno
import threading
from io import FileIO

import pytest
import torch

from lora_widgets.data import tensor_store
from lora_widgets.data.tensor_store import DiskStore, MemoryStore
from lora_widgets.errors import CacheError

NAMES = [f"n{number}" for number in range(6)]


def tensor_of(name):
    return torch.full((2, 3), float(sum(name.encode())))


def write(store, *names):
    with store.writing():
        for name in names:
            store.write(name, {"a": tensor_of(name)})
    return store


def whole(folder, *names):
    """Whether a new run reads exactly these."""
    store = DiskStore(folder)
    return [name for name in NAMES if store.state_of(name) == "whole"] == list(names) and all(
        torch.equal(store.read(name)["a"], tensor_of(name)) for name in names
    )


@pytest.fixture
def full_disk(monkeypatch):
    """Let the disk have room for so many bytes from now on."""

    def leave(room, *, error=errno.ENOSPC):
        left = [room]

        class Filling(FileIO):
            def write(self, content):
                fits = min(len(content), left[0])
                if not fits and content:
                    raise OSError(error, "No space left on device")
                left[0] -= fits
                return super().write(content[:fits])

        monkeypatch.setattr(tensor_store, "open_new", lambda path: Filling(path, "x"))

    return leave


@pytest.mark.parametrize("make", [lambda folder: MemoryStore(), DiskStore], ids=["memory", "disk"])
def test_what_was_written_is_read(tmp_path, make):
    store = make(tmp_path / "cache")
    assert store.state_of("n0") == "absent"
    tensors = {
        "latents": torch.randn(4, 8, 6),
        "mask": torch.tensor([True, False]),
        "half": torch.randn(3).to(torch.bfloat16),
        "view": torch.arange(12.0).reshape(3, 4).T,
    }
    with store.writing():
        store.write("n0", tensors)
    assert store.state_of("n0") == "whole"
    read = store.read("n0")
    assert read.keys() == tensors.keys()
    assert all(
        torch.equal(read[key], tensors[key]) and read[key].dtype == tensors[key].dtype for key in tensors
    )


def test_looking_makes_nothing(tmp_path):
    assert DiskStore(tmp_path / "cache").state_of("n0") == "absent"
    assert list(tmp_path.iterdir()) == []


def test_writing_nothing_leaves_no_file(tmp_path):
    write(DiskStore(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_few_files_hold_many_groups_and_long_ones_are_ended(tmp_path, monkeypatch):
    write(DiskStore(tmp_path), *NAMES)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(tensor_store, "SHARD_BYTES", 50)
    write(DiskStore(tmp_path / "short"), *NAMES)
    assert len(list((tmp_path / "short").glob("*.tensors"))) == len(NAMES)
    assert whole(tmp_path / "short", *NAMES)


@pytest.mark.parametrize("suffix", [".tensors", ".index"])
def test_a_crash_at_any_byte_loses_at_most_what_was_being_written(tmp_path, suffix):
    write(DiskStore(tmp_path), *NAMES[:3])
    (path,) = tmp_path.glob(f"*{suffix}")
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        found = [name for name in NAMES if DiskStore(tmp_path).state_of(name) == "whole"]
        assert found == NAMES[: len(found)]
        assert len(found) >= length * 3 // len(content) - 1
    path.write_bytes(content[: len(content) // 2])
    write(DiskStore(tmp_path), *NAMES[:3])
    assert whole(tmp_path, *NAMES[:3])


def test_any_flipped_bit_is_noticed_and_the_newer_group_counts(tmp_path):
    write(DiskStore(tmp_path), "n0")
    for suffix in (".tensors", ".index"):
        (path,) = tmp_path.glob(f"*{suffix}")
        content = path.read_bytes()
        for position in range(len(content)):
            path.write_bytes(content[:position] + bytes([content[position] ^ 8]) + content[position + 1 :])
            store = DiskStore(tmp_path)
            assert store.state_of("n0") != "whole" or torch.equal(store.read("n0")["a"], tensor_of("n0"))
        path.write_bytes(content)
    (path,) = tmp_path.glob("*.tensors")
    path.write_bytes(b"\0" * path.stat().st_size)
    assert DiskStore(tmp_path).state_of("n0") == "damaged"
    write(DiskStore(tmp_path), "n0")
    assert whole(tmp_path, "n0")


def test_a_missing_file_is_damage_and_reading_says_what_to_do(tmp_path):
    store = write(DiskStore(tmp_path), "n0")
    next(tmp_path.glob("*.tensors")).unlink()
    assert DiskStore(tmp_path).state_of("n0") == "damaged"
    with pytest.raises(CacheError, match=r"changed or deleted.*Start again"):
        store.read("n0")


def test_a_disk_that_is_full_when_a_new_shard_begins_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    store = DiskStore(tmp_path)
    monkeypatch.setattr(tensor_store, "SHARD_BYTES", 50)
    with pytest.raises(CacheError, match="is full"), store.writing():
        store.write("n0", {"a": tensor_of("n0")})
        monkeypatch.setattr(tensor_store, "open_new", refuse)
        store.write("n1", {"a": tensor_of("n1")})
    assert whole(tmp_path, "n0")


@pytest.mark.parametrize("room", [0, 40, 130, 200, 330, 400])
def test_a_full_disk_is_named_and_loses_nothing(tmp_path, full_disk, room):
    write(DiskStore(tmp_path), "n0")
    full_disk(room)
    store = DiskStore(tmp_path)
    with pytest.raises(CacheError) as caught:
        write(store, *NAMES[1:])
    for part in (str(tmp_path), "is full", "stays usable", "`cache_dir`"):
        assert part in str(caught.value)
    kept = [name for name in NAMES if store.state_of(name) == "whole"]
    assert kept[0] == "n0"
    assert whole(tmp_path, *kept)
    full_disk(10_000)
    write(DiskStore(tmp_path), *NAMES)
    assert whole(tmp_path, *NAMES)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch, number):
    def refuse(path):
        raise OSError(number, "Not allowed")

    store = write(DiskStore(tmp_path), "n0")
    monkeypatch.setattr(tensor_store, "open_new", refuse)
    with pytest.raises(CacheError, match=r"cannot be written \(Not allowed\)\. Set `cache_dir`"):
        write(store, "n1")
    assert whole(tmp_path, "n0")


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "cache").touch()
    with pytest.raises(CacheError, match="cannot be written"):
        write(DiskStore(tmp_path / "cache"), "n0")


def test_runs_that_write_at_the_same_time_do_not_disturb_each_other(tmp_path):
    stores = [DiskStore(tmp_path) for _ in range(4)]
    gate = threading.Barrier(len(stores))

    def work(store, names):
        with store.writing():
            gate.wait()
            for name in names:
                store.write(name, {"a": tensor_of(name)})

    threads = [threading.Thread(target=work, args=(store, NAMES[at:])) for at, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert whole(tmp_path, *NAMES)


def test_what_another_run_is_still_writing_is_readable_already(tmp_path):
    store = DiskStore(tmp_path)
    with store.writing():
        store.write("n0", {"a": tensor_of("n0")})
        assert whole(tmp_path, "n0")
        store.write("n1", {"a": tensor_of("n1")})
