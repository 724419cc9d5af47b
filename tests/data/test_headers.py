import os
import random
import struct
import sys
from contextlib import suppress
from types import ModuleType

import pytest
from PIL import Image

from lora_widgets.data.headers import ORIENTATION_TAG, read_extensions, read_header
from lora_widgets.data.images import open_image
from lora_widgets.errors import DatasetError


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    return exif


@pytest.mark.parametrize("extension", sorted(read_extensions()))
def test_size_of_every_kind(tmp_path, make_picture, extension):
    assert read_header(make_picture(tmp_path / f"a{extension}", (41, 30))).size == (41, 30)


@pytest.mark.parametrize(
    ("orientation", "size"), [(1, (40, 30)), (3, (40, 30)), (6, (30, 40)), (8, (30, 40))]
)
def test_size_is_as_the_picture_is_seen(tmp_path, make_picture, orientation, size):
    path = make_picture(tmp_path / "a.jpg", (40, 30), exif=turned(orientation))
    assert read_header(path).size == size


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_pictures_are_refused(tmp_path, make_picture, name, share):
    path = make_picture(tmp_path / name, (64, 64))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DatasetError, match=r"damaged or cut off|not a picture"):
        read_header(path)


def test_bytes_behind_the_end_do_no_harm(tmp_path, make_picture):
    for name in ("a.png", "a.jpg", "a.webp"):
        path = make_picture(tmp_path / name)
        path.write_bytes(path.read_bytes() + b"written by a phone" * 9)
        assert read_header(path).size == (40, 30)


def test_empty_file_is_refused(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(DatasetError, match="empty"):
        read_header(tmp_path / "a.png")


def test_text_with_the_name_of_a_picture_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("<html>404 not found</html>")
    with pytest.raises(DatasetError, match="not a picture"):
        read_header(tmp_path / "a.png")


def test_broken_links_and_pipes_are_refused_without_waiting(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DatasetError, match=r"cannot be read \(No such file"):
        read_header(tmp_path / "link.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DatasetError, match="not a regular file"):
        read_header(tmp_path / "pipe.png")


def test_plugin_for_jpeg_xl_is_taken_where_there_is_one(monkeypatch):
    assert ".jxl" not in read_extensions()
    plugin = ModuleType("pillow_jxl")
    monkeypatch.setitem(sys.modules, "pillow_jxl", plugin)
    monkeypatch.setitem(Image.EXTENSION, ".jxl", "JXL")
    assert ".jxl" in read_extensions.__wrapped__()
    monkeypatch.delitem(Image.EXTENSION, ".jxl")
    assert ".jxl" not in read_extensions.__wrapped__(), "a plugin that cannot read here does not count"


def test_picture_of_absurd_size_is_refused(tmp_path):
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0)
    (tmp_path / "a.bmp").write_bytes(header)
    with pytest.raises(DatasetError, match="too many pixels"):
        read_header(tmp_path / "a.bmp")


@pytest.mark.parametrize("extension", sorted(read_extensions()))
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow remarks on damaged metadata
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # ... and on large sizes
def test_random_damage_is_refused_or_read_but_never_crashes(tmp_path, make_picture, extension):
    content = make_picture(tmp_path / f"a{extension}").read_bytes()
    rng = random.Random(extension)
    damaged = tmp_path / f"damaged{extension}"
    for _ in range(200):
        changed = bytearray(content)
        for _ in range(rng.choice([1, 3, 30])):
            changed[rng.randrange(min(len(changed), 400))] = rng.randrange(256)
        damaged.write_bytes(changed)
        with suppress(DatasetError):
            read_header(damaged)
            open_image(damaged)
