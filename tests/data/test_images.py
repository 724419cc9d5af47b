"""Pixels against recorded outputs of kohya-ss/sd-scripts (tests/golden/image_prep.json), and odd files."""

import json

import numpy
import pytest
import torch
from PIL import Image

from lora_widgets.data.buckets import Bucket, Placement
from lora_widgets.data.headers import ORIENTATION_TAG
from lora_widgets.data.images import open_alpha, open_image, open_mask, place, place_mask
from lora_widgets.errors import DatasetError


def formula_picture(width: int, height: int) -> Image.Image:
    x, y = numpy.arange(width)[None, :], numpy.arange(height)[:, None]
    channels = [127.5 + 100 * numpy.sin(x / 9 + 0.7 * k) + 20 * numpy.cos(y / 5 + k) for k in range(3)]
    return Image.fromarray(numpy.floor(numpy.clip(numpy.stack(channels, -1), 0, 255)).astype(numpy.uint8))


def placement(bucket, resized) -> Placement:
    crop = ((resized[0] - bucket[0]) // 2, (resized[1] - bucket[1]) // 2)
    return Placement(Bucket(*bucket), tuple(resized), crop)


def test_pixels_are_those_of_the_reference(golden_folder):
    for case in json.loads((golden_folder / "image_prep.json").read_text())["cases"]:
        at = placement(case["bucket"], case["resized"])
        pixels = place(formula_picture(*case["size"]), at, crop=at.crop, flip=False)
        greys = (pixels + 1) * 127.5
        assert greys.mean((1, 2)).tolist() == pytest.approx(case["channel_mean"], abs=0.5)
        assert greys.std((1, 2)).tolist() == pytest.approx(case["channel_std"], abs=1.0)
        for (y, x), values in case["pixels"]:
            assert greys[:, y, x].tolist() == pytest.approx(values, abs=4)


def test_place_gives_floats_from_minus_one_to_one():
    image = Image.new("RGB", (20, 10))
    image.paste((255, 255, 255), (10, 0, 20, 10))
    pixels = place(image, placement((20, 10), (20, 10)), crop=(0, 0), flip=False)
    assert pixels.shape == (3, 10, 20)
    assert pixels.dtype == torch.float32
    assert pixels.is_contiguous()
    assert pixels[:, :, :10].unique().tolist() == [-1]
    assert pixels[:, :, 10:].unique().tolist() == [1]


def test_flip_mirrors_after_the_cut_and_crop_moves_it():
    image = formula_picture(30, 20)
    at = placement((16, 16), (30, 20))
    plain = place(image, at, crop=(14, 4), flip=False)
    assert torch.equal(place(image, at, crop=(14, 4), flip=True), plain.flip(-1))
    whole = place(image, placement((30, 20), (30, 20)), crop=(0, 0), flip=False)
    assert torch.equal(plain, whole[:, 4:20, 14:30])


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    image = Image.new("RGB", (40, 20), "blue")
    image.paste("red", (0, 0, 20, 20))
    image.save(tmp_path / "a.png", exif=exif)
    seen = open_image(tmp_path / "a.png")
    assert seen.size == (20, 40)
    assert seen.getpixel((10, 5)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new("RGB", (8, 8), "white").convert(mode).save(path)
    image = open_image(path)
    assert image.mode == "RGB"
    assert image.getpixel((4, 4)) == (255, 255, 255)


def test_sixteen_bit_greys_are_scaled_not_clipped(tmp_path):
    Image.fromarray(numpy.full((8, 8), 32896, dtype=numpy.uint16)).save(tmp_path / "a.png")
    assert open_image(tmp_path / "a.png").getpixel((0, 0)) == (128, 128, 128)


def test_palette_with_transparency_opens_without_a_warning(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(tmp_path / "a.png", transparency=b"\x00\x80")
    assert open_image(tmp_path / "a.png").getpixel((0, 0)) == (255, 0, 0)


def test_damaged_picture_is_named(tmp_path, make_picture):
    path = make_picture(tmp_path / "a.png", (64, 64))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DatasetError, match=r"a\.png cannot be opened.*Replace or delete"):
        open_image(path)
    with pytest.raises(DatasetError, match=r"gone\.png"):
        open_image(tmp_path / "gone.png")


def half_transparent(path, *, mode="RGBA"):
    picture = Image.new("RGBA", (20, 10), (200, 30, 30, 255))
    picture.paste((200, 30, 30, 0), (0, 0, 10, 10))
    picture.convert(mode).save(path)
    return path


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_read_as_a_mask(tmp_path, mode):
    alpha = open_alpha(half_transparent(tmp_path / "a.png", mode=mode))
    mask = place_mask(alpha, placement((20, 10), (20, 10)), crop=(0, 0), flip=False)
    assert mask.shape == (1, 10, 20)
    assert mask[..., :10].unique().tolist() == [0]
    assert mask[..., 10:].unique().tolist() == [1]


def test_a_palette_with_transparency_has_a_mask_and_an_opaque_picture_has_none(tmp_path):
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.paste(0, (0, 0, 4, 8))
    picture.save(tmp_path / "p.png", transparency=0)
    alpha = open_alpha(tmp_path / "p.png")
    assert [alpha.getpixel((x, 0)) for x in (0, 7)] == [0, 255]
    formula_picture(8, 8).save(tmp_path / "o.png")
    assert open_alpha(tmp_path / "o.png") is None


def test_a_mask_file_counts_by_its_red_channel(tmp_path):
    Image.new("RGB", (4, 4), (255, 0, 9)).save(tmp_path / "m.png")
    assert open_mask(tmp_path / "m.png").getextrema() == (255, 255)
    Image.new("L", (4, 4), 51).save(tmp_path / "g.png")
    mask = place_mask(open_mask(tmp_path / "g.png"), placement((4, 4), (4, 4)), crop=(0, 0), flip=False)
    assert mask.unique().tolist() == pytest.approx([0.2])


def test_a_mask_is_scaled_cut_and_mirrored_like_its_picture(tmp_path):
    mask = formula_picture(30, 20).getchannel("R")
    at = placement((16, 16), (24, 16))
    as_picture = (place(Image.merge("RGB", [mask] * 3), at, crop=(3, 0), flip=True)[:1] + 1) / 2
    assert place_mask(mask, at, crop=(3, 0), flip=True).allclose(as_picture, atol=1e-6)
