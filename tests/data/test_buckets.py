"""Buckets against recorded outputs of kohya-ss/sd-scripts (tests/golden/buckets.json.xz), and by law."""

import json
import lzma
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from picture_list import picture

from lora_widgets.data.buckets import (
    Bucket,
    bucket_sizes,
    chooser,
    crop_conditioning,
    plan_buckets,
    set_too_small_aside,
)
from lora_widgets.errors import DatasetError

GOLDEN = json.loads(
    lzma.decompress((Path(__file__).parent.parent / "golden" / "buckets.json.xz").read_bytes())
)
sides = st.integers(16, 5000)


def place(settings, size, *, resolution, step):
    return plan_buckets(settings, [picture(size)], resolution=resolution, step=step).placements[0]


@pytest.mark.parametrize("case", GOLDEN["configs"], ids=range(len(GOLDEN["configs"])))
def test_placements_are_those_of_the_reference(case):
    settings = SimpleNamespace(**case)
    step, resolution = case["bucket_reso_steps"], tuple(case["resolution"])
    compared = 0
    for size, row in zip(GOLDEN["sizes"], case["rows"], strict=True):
        if case["bucket_no_upscale"] and min(size) < step:
            assert isinstance(row, str) or 0 in row[:2]  # the reference has no bucket either
            with pytest.raises(DatasetError, match=f"{size[0]}x{size[1]}.*bucket_no_upscale"):
                place(settings, size, resolution=resolution, step=step)
            continue
        placement = place(settings, size, resolution=resolution, step=step)
        bucket = placement.bucket
        assert [bucket.width, bucket.height, *placement.resized, *placement.crop] == row[:4] + row[5:7], size
        compared += 1
    assert compared > 290


@pytest.mark.parametrize("case", GOLDEN["configs"], ids=range(len(GOLDEN["configs"])))
def test_crop_conditioning_is_that_of_the_reference(case):
    for size, row in zip(GOLDEN["sizes"], case["rows"], strict=True):
        if isinstance(row, str) or 0 in row[:2]:
            continue  # the reference has no bucket
        bucket = Bucket(*row[:2])
        left, top = crop_conditioning(tuple(size), bucket, flip=False)
        assert (left, top) == (int(row[7]), int(row[8]))
        mirrored = crop_conditioning(tuple(size), bucket, flip=True)
        assert mirrored[1] == top
        assert abs(mirrored[0] - left) <= 1  # the picture is in the middle, but for rounding


@pytest.mark.parametrize("case", [c for c in GOLDEN["configs"] if c.get("predefined") and c["enable_bucket"]])
def test_bucket_list_is_that_of_the_reference(case):
    sizes = bucket_sizes(
        tuple(case["resolution"]),
        shortest=case["min_bucket_reso"],
        longest=case["max_bucket_reso"],
        step=case["bucket_reso_steps"],
    )
    assert [[bucket.width, bucket.height] for bucket in sizes] == case["predefined"]


@given(st.integers(2, 24), st.integers(2, 24), st.sampled_from([8, 16, 32, 64]), st.integers(1, 40))
def test_buckets_keep_area_step_and_limits(columns, rows, step, longest):
    resolution = (columns * step, rows * step)
    longest = max(longest, columns, rows) * step
    for bucket in bucket_sizes(resolution, shortest=step, longest=longest, step=step):
        assert bucket.width * bucket.height <= resolution[0] * resolution[1]
        assert bucket.width % step == bucket.height % step == 0
        assert step <= min(bucket.width, bucket.height)
        assert max(bucket.width, bucket.height) <= longest


@given(sides, sides)
def test_no_other_bucket_has_a_nearer_ratio(width, height):
    buckets = bucket_sizes((512, 512), shortest=256, longest=1024, step=64)
    chosen = chooser(buckets)((width, height))

    def error(bucket):
        return abs(bucket.width / bucket.height - width / height)

    assert Bucket(width, height) == chosen or error(chosen) == min(map(error, buckets))


@given(sides, sides, st.booleans(), st.booleans(), st.sampled_from([8, 16, 64]))
def test_every_picture_covers_its_bucket(make_settings, width, height, enable_bucket, no_upscale, step):
    assume(min(width, height) >= step)
    settings = make_settings(
        enable_bucket=enable_bucket, bucket_no_upscale=no_upscale, min_bucket_reso=256, max_bucket_reso=1024
    )
    placement = place(settings, (width, height), resolution=(512, 384), step=step)
    bucket, (left, top), resized = placement.bucket, placement.crop, placement.resized
    assert bucket.width * bucket.height <= 512 * 384
    assert left >= 0
    assert top >= 0
    assert left + bucket.width <= resized[0]
    assert top + bucket.height <= resized[1]
    if enable_bucket:
        assert bucket.width % step == bucket.height % step == 0
    if enable_bucket and no_upscale:
        assert resized[0] <= width
        assert resized[1] <= height


@pytest.mark.parametrize("size", [(20000, 65), (65, 20000), (300000, 64)])
def test_extreme_ratios_without_upscaling_get_a_bucket(make_settings, size):
    placement = place(make_settings(bucket_no_upscale=True), size, resolution=(512, 512), step=64)
    assert min(placement.bucket.width, placement.bucket.height) == 64
    assert placement.bucket.width * placement.bucket.height <= 512 * 512


def test_without_buckets_every_picture_gets_the_resolution(make_settings):
    settings = make_settings(enable_bucket=False)
    placement = place(settings, (200, 100), resolution=(60, 60), step=16)
    assert placement.bucket == Bucket(60, 60)
    assert placement.resized == (120, 60)
    assert placement.crop == (30, 0)


def test_too_small_pictures_are_set_aside_only_when_they_may_not_be_enlarged(make_settings):
    images = [picture((64, 64)), picture((15, 64))]
    kept, small = set_too_small_aside(make_settings(bucket_no_upscale=True), images, step=16)
    assert kept == (images[0],)
    assert "15x64" in small[0].reason
    assert "bucket_no_upscale" in small[0].reason
    assert set_too_small_aside(make_settings(), images, step=16) == (tuple(images), ())


def test_settings_that_leave_no_bucket_are_explained():
    with pytest.raises(DatasetError, match=r"min_bucket_reso.*64 px"):
        bucket_sizes((512, 512), shortest=32, longest=1024, step=64)
    with pytest.raises(DatasetError, match="resolution"):
        bucket_sizes((32, 32), shortest=64, longest=64, step=64)
