"""Tests of lora_widgets/preview/small_pictures.py."""

import base64
import io

import numpy
import pytest
from PIL import Image
from preview_folder import draw

from lora_widgets.data.headers import UNREADABLE
from lora_widgets.data.images import open_image
from lora_widgets.preview.small_pictures import look_at, open_small


def decoded(url):
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def transparent_palette():
    picture = Image.effect_noise((40, 30), 90).convert("P")
    picture.info["transparency"] = 3
    return picture


def deep_grey():
    return Image.fromarray(numpy.arange(0, 65536, 65536 // 1200, dtype=numpy.uint16)[:1200].reshape(30, 40))


@pytest.mark.parametrize(
    "picture",
    [
        Image.effect_noise((40, 30), 90),
        Image.merge("RGBA", [Image.effect_noise((40, 30), 90)] * 4),
        Image.effect_noise((40, 30), 90).convert("1"),
        transparent_palette(),
        deep_grey(),
    ],
    ids=lambda picture: picture.mode,
)
def test_small_pictures_look_as_training_opens_them(picture, tmp_path):
    path = tmp_path / "a.png"
    picture.save(path)
    assert open_small(path).tobytes() == open_image(path).tobytes()


def test_a_turned_photo_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = draw(tmp_path / "a.jpg", (1200, 600), exif=exif)
    small = open_small(path)
    assert small.size == (128, 256)
    full = open_image(path).resize(small.size)
    difference = numpy.asarray(small, dtype=float) - numpy.asarray(full, dtype=float)
    assert abs(difference).mean() < 8


@pytest.mark.parametrize("side", [160, 256])
def test_what_is_shown_is_whole_and_small(tmp_path, side):
    look = look_at(draw(tmp_path / "a.png", (900, 300)), side)
    assert decoded(look.url).size == (side, side // 3 + (side % 3 > 1))
    assert look.measures is not None
    assert look.problem == ""


def test_an_unreadable_picture_says_why(tmp_path):
    torn = draw(tmp_path / "torn.png", (64, 64))
    torn.write_bytes(torn.read_bytes()[:60])
    for path in (torn, tmp_path / "missing.png"):
        look = look_at(path, 160)
        assert (look.url, look.measures) == ("", None)
        assert look.problem
        with pytest.raises(UNREADABLE):
            open_small(path)
