"""`lora-widgets cache`: what it shows, what it deletes, and what it says about it."""

import os
import time

import pytest
import torch

from lora_widgets.cli import main
from lora_widgets.commands import cache as command
from lora_widgets.commands.cache import size_text, use_text
from lora_widgets.data.cache_layout import LATENT_STORES, TEXT_STORES
from lora_widgets.data.last_use import DAY_S
from lora_widgets.data.tensor_store import DiskStore

OLD, NEW = "a" * 32, "b" * 32


@pytest.fixture
def cache(tmp_path):
    """A cache with old latents, new latents and captions, and a file of the user in it."""
    folder = tmp_path / "cache"
    for name, encoder, entries in ((LATENT_STORES, OLD, 3), (LATENT_STORES, NEW, 1), (TEXT_STORES, NEW, 2)):
        store = DiskStore(folder / name / encoder)
        with store.writing():
            for entry in range(entries):
                store.write(str(entry), {"x": torch.zeros(1000)})
    then = time.time() - 50 * DAY_S
    (folder / "picture.png").touch()
    for path in (*(folder / LATENT_STORES / OLD).iterdir(), folder / "picture.png"):
        os.utime(path, (then, then))
    return folder


def files_of(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


def size_of(folder):
    return size_text(sum(path.stat().st_size for path in files_of(folder)))  # the picture is empty


def said(capsys, *arguments):
    assert main(["cache", *map(str, arguments)]) == 0
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_it_shows_each_store_with_entries_size_and_last_use(cache, capsys):
    assert said(capsys, cache) == [
        f"Cache in {cache}: {size_of(cache)}",
        f"captions bbbbbbbbbbbb 2 entries {size_of(cache / TEXT_STORES)} used today",
        f"latents aaaaaaaaaaaa 3 entries {size_of(cache / LATENT_STORES / OLD)} used 49 days ago",
        f"latents bbbbbbbbbbbb 1 entry {size_of(cache / LATENT_STORES / NEW)} used today",
    ]


def test_the_usual_folder_is_the_one_of_this_user(cache, capsys, monkeypatch):
    monkeypatch.setattr(command, "cache_folder", lambda setting: cache)
    assert said(capsys)[0] == f"Cache in {cache}: {size_of(cache)}"


def test_what_is_unused_goes_and_the_rest_stays(cache, capsys):
    before, size = files_of(cache), size_of(cache / LATENT_STORES / OLD)
    dry = said(capsys, cache, "--delete-unused", "30d", "--dry-run")
    assert dry[1:] == [f"would delete: latents aaaaaaaaaaaa, {size}", f"Would free {size}."]
    assert files_of(cache) == before
    done = said(capsys, cache, "--delete-unused", "30")
    assert done[1:] == [f"deleted: latents aaaaaaaaaaaa, {size}", f"Freed {size}."]
    assert before - files_of(cache) == {path for path in before if OLD in str(path)}
    assert said(capsys, cache, "--delete-unused", "30d")[1:] == ["Freed 0 bytes."]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nowhere"], "There is no folder nowhere"), (["--dry-run"], "Give `--delete-unused` with it")],
)
def test_what_cannot_be_done_is_named(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["cache", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("days", ["0d", "-3", "soon", "1.5d", ""])
def test_a_number_of_days_is_asked_for(days, capsys):
    with pytest.raises(SystemExit):
        main(["cache", f"--delete-unused={days}"])
    assert "is no number of days above 0, such as 30d" in capsys.readouterr().err


def test_a_long_look_shows_how_far_it_is(cache, capsys, monkeypatch):
    monkeypatch.setattr(command, "SILENT_S", -1.0)
    assert "Looking through the cache 1/3" in said(capsys, cache)[0]


def test_sizes_and_times_are_in_words():
    sizes = [0, 999, 1000, 999_499, 999_500, 12_345_678, 5_000_000_000_000]
    assert [size_text(size) for size in sizes] == [
        *("0 bytes", "999 bytes", "1 kB", "999 kB", "1 MB", "12.3 MB", "5 TB"),
    ]
    ages = [-1, 0.9, 1, 12.5]
    assert [use_text(-age * DAY_S, now=0) for age in ages] == [
        *("used today", "used today", "used 1 day ago", "used 12 days ago"),
    ]
