"""What the quick reader says agrees with Pillow, and it says nothing about files that are not plain."""

import io
import random
import struct
import warnings
import zlib

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from lora_widgets.data.headers import ORIENTATION_TAG, UNREADABLE
from lora_widgets.data.quick_headers import Header, quick_header

PLAIN = [
    ("PNG", "RGB", {}, False),
    ("PNG", "RGBA", {}, True),
    ("PNG", "L", {}, False),
    ("PNG", "LA", {}, True),
    ("PNG", "P", {}, False),
    ("PNG", "1", {}, False),
    ("PNG", "I;16", {}, False),
    ("JPEG", "RGB", {}, False),
    ("JPEG", "RGB", {"progressive": True}, False),
    ("JPEG", "L", {}, False),
    ("JPEG", "CMYK", {}, False),
    ("WEBP", "RGB", {}, False),
    ("WEBP", "RGB", {"lossless": True}, False),
    ("WEBP", "RGBA", {"lossless": True}, True),
    ("BMP", "RGB", {}, False),
]


def saved(kind, mode="RGB", size=(41, 30), **options):
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def quick(content):
    return quick_header(io.BytesIO(content), len(content))


def turned():
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    return exif


def with_chunk(png, name, content, *, at_end):
    """Insert a chunk behind IHDR, or before IEND."""
    chunk = struct.pack(">I4s", len(content), name) + content + zlib.crc32(name + content).to_bytes(4, "big")
    place = len(png) - 12 if at_end else 33
    return png[:place] + chunk + png[place:]


@pytest.mark.parametrize(("kind", "mode", "options", "has_alpha"), PLAIN)
@pytest.mark.parametrize("size", [(41, 30), (1, 1), (700, 3)])
def test_plain_files_need_no_pillow(kind, mode, options, has_alpha, size):
    assert quick(saved(kind, mode, size, **options)) == Header(size, has_alpha)


@given(
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "BMP"]),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    place=st.integers(0, 10**9),
    value=st.integers(0, 255),
    cut=st.integers(0, 10**9),
)
def test_what_it_accepts_pillow_accepts_with_the_same_size(kind, size, place, value, cut):
    """Change one byte of the header and cut some files: it agrees with Pillow, or is silent."""
    content = bytearray(saved(kind, size=size))
    content[place % min(len(content), 120)] = value
    content = bytes(content[: len(content) - (cut % len(content) if cut % 3 == 0 else 0)])
    if (found := quick(content)) is None:
        return
    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content)) as picture:
        assert picture.size == found.size


def test_random_damage_never_raises():
    rng = random.Random(0)
    for kind, mode, options, _ in PLAIN:
        content = saved(kind, mode, **options)
        for _ in range(200):
            damaged = bytearray(content)
            for _ in range(rng.choice([1, 3, 30])):
                damaged[rng.randrange(min(len(damaged), 400))] = rng.randrange(256)
            found = quick(bytes(damaged))
            if found is not None:
                try:
                    with warnings.catch_warnings(action="ignore"):
                        assert Image.open(io.BytesIO(damaged)).size == found.size
                except UNREADABLE as error:
                    pytest.fail(f"{kind} {mode}: taken, but Pillow says {error}")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_files_with_an_orientation_are_for_pillow(kind):
    assert quick(saved(kind, exif=turned())) is None


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"eXIf", turned().tobytes()),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation='6'/>"),
        (b"tEXt", b"Raw profile type exif\0 6"),
        (b"tRNS", b"\0\0\0\0\0\0"),
        (b"acTL", b"\0\0\0\2\0\0\0\0"),
    ],
)
def test_chunks_with_a_say_are_for_pillow_wherever_they_stand(name, content, at_end):
    assert quick(with_chunk(saved("PNG"), name, content, at_end=at_end)) is None


def test_prompts_of_picture_generators_do_no_harm():
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat, best quality " * 300)
    assert quick(saved("PNG", pnginfo=info)) == Header((41, 30), has_alpha=False)


def test_large_files_are_read_in_places():
    noise = numpy.random.default_rng(0).integers(0, 255, (400, 500, 3), dtype=numpy.uint8)
    for kind, options in (("PNG", {}), ("JPEG", {"quality": 95}), ("WEBP", {"lossless": True})):
        file = io.BytesIO()
        Image.fromarray(noise).save(file, kind, **options)
        assert quick(file.getvalue()) == Header((500, 400), has_alpha=False)
        assert quick(file.getvalue()[:-100]) is None


def test_wrong_check_sum_is_for_pillow():
    content = bytearray(saved("PNG"))
    content[30] ^= 1
    assert quick(bytes(content)) is None


def test_animation_is_for_pillow():
    file = io.BytesIO()
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "blue")]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    assert quick(file.getvalue()) is None


def test_bombs_are_for_pillow():
    content = bytearray(saved("BMP"))
    content[18:26] = struct.pack("<ii", 60_000, 60_000)
    assert quick_header(io.BytesIO(bytes(content)), 60_000**2 * 4) is None
