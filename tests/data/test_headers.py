import os
import random
import struct
from contextlib import suppress

import pytest
from PIL import Image

from lora_widgets.data.headers import ORIENTATION_TAG, picture_size, read_extensions
from lora_widgets.data.images import open_image
from lora_widgets.errors import DatasetError


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    return exif


@pytest.mark.parametrize("extension", sorted(read_extensions()))
def test_size_of_every_kind(tmp_path, make_picture, extension):
    assert picture_size(make_picture(tmp_path / f"a{extension}", (41, 30))) == (41, 30)


@pytest.mark.parametrize(
    ("orientation", "size"), [(1, (40, 30)), (3, (40, 30)), (6, (30, 40)), (8, (30, 40))]
)
def test_size_is_as_the_picture_is_seen(tmp_path, make_picture, orientation, size):
    path = make_picture(tmp_path / "a.jpg", (40, 30), exif=turned(orientation))
    assert picture_size(path) == size


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_pictures_are_refused(tmp_path, make_picture, name, share):
    path = make_picture(tmp_path / name, (64, 64))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DatasetError, match=r"damaged or cut off|not a picture"):
        picture_size(path)


def test_bytes_behind_the_end_do_no_harm(tmp_path, make_picture):
    for name in ("a.png", "a.jpg", "a.webp"):
        path = make_picture(tmp_path / name)
        path.write_bytes(path.read_bytes() + b"written by a phone" * 9)
        assert picture_size(path) == (40, 30)


def test_empty_file_is_refused(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(DatasetError, match="empty"):
        picture_size(tmp_path / "a.png")


def test_text_with_the_name_of_a_picture_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("<html>404 not found</html>")
    with pytest.raises(DatasetError, match="not a picture"):
        picture_size(tmp_path / "a.png")


def test_broken_links_and_pipes_are_refused_without_waiting(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("link.png", "pipe.png"):
        with pytest.raises(DatasetError, match="not a regular file"):
            picture_size(tmp_path / name)


def test_picture_of_absurd_size_is_refused(tmp_path):
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0)
    (tmp_path / "a.bmp").write_bytes(header)
    with pytest.raises(DatasetError, match="too many pixels"):
        picture_size(tmp_path / "a.bmp")


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
            picture_size(damaged)
            open_image(damaged)
