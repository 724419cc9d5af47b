"""A data set of bad files: each costs only itself and is named, and what is merely odd is trained on."""

import errno
import io
import os
import shutil
import struct
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from lora_widgets.data.buckets import plan_buckets
from lora_widgets.data.dataset import Dataset
from lora_widgets.data.scan import scan

BOMB = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)


@pytest.fixture
def folder(tmp_path, make_picture):
    """A data set with one good picture."""
    make_picture(tmp_path / "set" / "good.png", (64, 64), caption="good")
    return tmp_path / "set"


@pytest.fixture
def look(folder, make_settings):
    def look_at(**changes):
        return scan(make_settings(train_data_dir=str(folder), **changes))

    return look_at


def noise(mode="RGB", size=(40, 30)):
    rng = numpy.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=numpy.uint8)).convert(mode)


def jpeg():
    file = io.BytesIO()
    noise(size=(200, 200)).save(file, "JPEG")
    return file.getvalue()


BAD = {
    "cut.jpg": (jpeg()[:3000], "the picture is damaged or cut off (image file is truncated"),
    "text.png": (b"<html>404 not found</html>", "its content is not a picture, whatever its name says"),
    "empty.png": (b"", "the file is empty (0 bytes); copy it again or delete the file"),
    "bomb.bmp": (BOMB, "it has too many pixels to open safely; scale it down first"),
    "moving.gif": (b"GIF89a", ".gif pictures are not read; convert it to PNG or JPEG"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_named_with_its_reason_and_costs_only_itself(folder, look, name):
    content, reason = BAD[name]
    (folder / name).write_bytes(content)
    result = look()
    assert [image.path.name for image in result.images] == ["good.png"]
    assert [skipped.path.name for skipped in result.skipped] == [name]
    assert result.skipped[0].reason.startswith(reason)


def test_unreadable_picture_and_caption_are_named(folder, look, make_picture, monkeypatch):
    make_picture(folder / "locked.png")
    make_picture(folder / "mute.png", caption="cat")
    real = Path.open

    def refusing(path, *args, **keywords):
        if path.name in ("locked.png", "mute.txt"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, *args, **keywords)

    monkeypatch.setattr(Path, "open", refusing)
    result = look()
    assert [image.path.name for image in result.images] == ["good.png"]
    assert {skipped.path.name: skipped.reason for skipped in result.skipped} == {
        "locked.png": "the file cannot be read (Permission denied); check its permissions, or copy it again",
        "mute.png": "its caption file mute.txt cannot be read (Permission denied)",
    }


def test_caption_in_latin_1_leaves_its_picture_out(folder, look, make_picture):
    make_picture(folder / "coffee.png").with_suffix(".txt").write_bytes("café".encode("latin-1"))
    result = look()
    assert [image.path.name for image in result.images] == ["good.png"]
    assert result.skipped[0].reason == (
        "its caption file coffee.txt is not UTF-8 text (byte 3); save it again with the encoding UTF-8"
    )


def test_everything_bad_at_once_leaves_the_good(folder, look):
    for name, (content, _) in BAD.items():
        (folder / name).write_bytes(content)
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "nowhere.png").symlink_to(folder / "nothing")
    (folder / "circle").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    result = look(nested_folders=True)
    assert [image.path.name for image in result.images] == ["good.png"]
    assert {skipped.path.name for skipped in result.skipped} == {*BAD, "loop.png", "nowhere.png", "pipe.png"}
    assert any(str(folder / "circle") in note for note in result.notes)


def animated_webp(path):
    noise().save(path, save_all=True, append_images=[noise().transpose(Image.Transpose.ROTATE_180)])


def sixteen_bit(path):
    Image.fromarray(numpy.full((30, 40), 32896, dtype=numpy.uint16)).save(path)


ODD = {
    "one.png": lambda path: noise(size=(1, 1)).save(path),
    "wide.png": lambda path: Image.new("RGB", (30_000, 200), "red").save(path),
    "tall.png": lambda path: Image.new("RGB", (7, 9000), "red").save(path),
    "cmyk.jpg": lambda path: noise("CMYK").save(path),
    "deep.png": sixteen_bit,
    "palette.png": lambda path: noise("P").save(path, transparency=0),
    "moving.webp": animated_webp,
    "grey-alpha.png": lambda path: noise("LA").save(path),
    "🐈 猫 & <b>.png": lambda path: noise().save(path),
    "UPPER.JPEG": lambda path: noise().save(path),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_picture_is_trained_on(folder, make_settings, name):
    shutil.rmtree(folder)
    folder.mkdir()
    ODD[name](folder / name)
    settings = make_settings(train_data_dir=str(folder), train_batch_size=1)
    result = scan(settings)
    assert result.skipped == ()
    assert [image.path.name for image in result.images] == [name]
    plan = plan_buckets(settings, result.images, resolution=(64, 64), step=16)
    batch = Dataset(result.images, plan, [settings], seed=0).batch_at(0)
    assert batch.pixels is not None
    assert batch.pixels.shape == (1, 3, plan.placements[0].bucket.height, plan.placements[0].bucket.width)
    assert torch.isfinite(batch.pixels).all()


def test_markup_in_a_caption_stays_text(folder, look, make_picture):
    make_picture(folder / "a.png", caption="<script>alert(1)</script>, <img src=x onerror=alert(1)>")
    captions = {image.path.name: image.captions for image in look().images}
    assert captions["a.png"] == ("<script>alert(1)</script>, <img src=x onerror=alert(1)>",)


def test_empty_caption_is_named(folder, look, make_picture):
    make_picture(folder / "a.png", caption="")
    result = look()
    assert result.without_caption == 1
    assert result.notes == (
        "These caption files are empty, so the pictures are trained without a caption: a.txt.",
    )


def test_one_caption_for_two_pictures_is_named(folder, look, make_picture):
    make_picture(folder / "good.jpg")
    assert "share one caption file" in look().notes[0]
    assert "good.jpg and good.png" in look().notes[0]
