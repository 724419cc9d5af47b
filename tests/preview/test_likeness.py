"""Tests of lora_widgets/preview/likeness.py."""

import io
from itertools import combinations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from lora_widgets.preview.likeness import (
    MAX_DISTANCE,
    Measures,
    alike,
    are_blurred,
    groups_of_alike,
    measure,
    relative_sharpness,
)

GREY = bytes([128]) * 192


def fields(seed, size=(256, 192)):
    rng = numpy.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=numpy.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


def as_jpeg(picture, quality):
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return Image.open(content).convert("RGB")


@pytest.mark.parametrize("seed", range(6))
def test_copies_are_alike_and_other_pictures_are_not(seed):
    original = measure(fields(seed))
    assert alike(original, measure(as_jpeg(fields(seed), 40)))
    assert alike(original, measure(fields(seed).resize((160, 120), Image.Resampling.LANCZOS)))
    assert not alike(original, measure(fields(seed + 100)))


def test_the_same_drawing_in_another_colour_is_another_picture():
    picture = fields(1)
    red, green, blue = picture.split()
    other = Image.merge("RGB", (red, green, blue.point(lambda value: value // 4)))
    assert not alike(measure(picture), measure(other))


def test_even_surfaces_have_no_noise_in_their_hash():
    picture = Image.linear_gradient("L").convert("RGB")  # from black above to white below
    hashed = measure(picture).fingerprint
    assert hashed == measure(as_jpeg(picture, 30)).fingerprint == 0


@st.composite
def hashes(draw):
    """Numbers of 64 bits, many of them near to one another."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3))
    flips = st.sets(st.integers(0, 63), max_size=MAX_DISTANCE + 2)
    near = st.builds(
        lambda centre, bits: centre ^ sum(1 << bit for bit in bits), st.sampled_from(centres), flips
    )
    return draw(st.lists(near, max_size=12))


@given(hashes())
def test_groups_are_the_connected_ones_of_all_pairs(values):
    measures = {number: Measures(value, GREY, 1.0) for number, value in enumerate(values)}
    sets = [{number} for number in measures]
    for one, other in combinations(measures, 2):
        if (values[one] ^ values[other]).bit_count() <= MAX_DISTANCE:
            first = next(group for group in sets if one in group)
            second = next(group for group in sets if other in group)
            if first is not second:
                sets.remove(second)
                first |= second
    expected = sorted(tuple(sorted(group)) for group in sets if len(group) > 1)
    assert list(groups_of_alike(measures)) == expected


def test_a_blurred_picture_stands_out():
    pictures = [fields(number).resize((64, 48)).resize((256, 192), Image.NEAREST) for number in range(8)]
    pictures[3] = pictures[3].filter(ImageFilter.GaussianBlur(8))
    pictures[5] = Image.new("RGB", (256, 192), (9, 99, 199))
    relative = relative_sharpness({number: measure(picture) for number, picture in enumerate(pictures)})
    assert sorted(are_blurred(relative)) == [3, 5]
    assert relative[5] == 0


def test_contrast_is_not_sharpness():
    sharp = fields(1).resize((64, 48)).resize((256, 192), Image.NEAREST)
    faint = sharp.point(lambda value: 100 + value // 5)
    assert measure(faint).sharpness == pytest.approx(measure(sharp).sharpness, rel=0.1)


@pytest.mark.parametrize("sharpness", [[], [1.0, 0.0], [0.0] * 9])
def test_without_a_median_nothing_is_blurred(sharpness):
    measures = {number: Measures(number, GREY, value) for number, value in enumerate(sharpness)}
    assert are_blurred(relative_sharpness(measures)) == []


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 1)])
def test_the_smallest_pictures_can_be_measured(size):
    assert measure(Image.new("RGB", size, (1, 2, 3))).sharpness == 0
