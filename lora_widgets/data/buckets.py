"""Aspect-ratio buckets: which sizes there are, which one a picture goes to, how it is scaled and cut.

Pure functions on sizes. The arithmetic is that of kohya-ss/sd-scripts (make_bucket_resolutions,
BucketManager.select_bucket), so that data sets land in the buckets their owners know; its division by zero
for extreme ratios without upscaling is not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lora_widgets.data.scan import ImageFile, Skipped
from lora_widgets.errors import DatasetError

Size = tuple[int, int]


class BucketSettings(Protocol):
    """The settings of bucketing."""

    @property
    def enable_bucket(self) -> bool:
        """Off: every picture goes to the one size given by the resolution."""
        ...

    @property
    def min_bucket_reso(self) -> int:
        """Shortest side of a bucket; rounded down to the step."""
        ...

    @property
    def max_bucket_reso(self) -> int:
        """Longest side of a bucket; rounded up to the step."""
        ...

    @property
    def bucket_no_upscale(self) -> bool:
        """Derive each bucket from the picture, which is only ever made smaller."""
        ...


@dataclass(frozen=True, order=True)
class Bucket:
    """A size that pictures are trained at, in pixels."""

    width: int
    height: int


@dataclass(frozen=True)
class Placement:
    """How one picture gets into its bucket: scale to ``resized``, then cut out at ``crop`` (left, top)."""

    bucket: Bucket
    resized: Size
    crop: Size


@dataclass(frozen=True)
class BucketPlan:
    """The placement of every picture, in the order of the pictures."""

    placements: tuple[Placement, ...]

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """The buckets in use, sorted."""
        return tuple(sorted({placement.bucket for placement in self.placements}))


def plan_buckets(
    settings: BucketSettings, images: Sequence[ImageFile], *, resolution: Size, step: int
) -> BucketPlan:
    """Give every picture its placement.

    Raises:
        DatasetError: the settings leave no bucket, or a picture is smaller than ``step`` on one side and may
            not be enlarged (see ``set_too_small_aside``).
    """
    if not settings.enable_bucket:
        only = Bucket(*resolution)
        return BucketPlan(tuple(_cover(image.size, only) for image in images))
    if settings.bucket_no_upscale:
        return BucketPlan(tuple(_place_by_own_size(image, resolution, step) for image in images))
    buckets = bucket_sizes(
        resolution, shortest=settings.min_bucket_reso, longest=settings.max_bucket_reso, step=step
    )
    return BucketPlan(tuple(_cover(image.size, nearest_bucket(image.size, buckets)) for image in images))


def bucket_sizes(resolution: Size, *, shortest: int, longest: int, step: int) -> tuple[Bucket, ...]:
    """List, sorted, the buckets within the area of ``resolution`` whose sides are multiples of ``step``."""
    area = resolution[0] * resolution[1]
    shortest, longest = shortest // step * step, math.ceil(longest / step) * step
    square = math.isqrt(area) // step * step
    if square < step or shortest < step:
        raise DatasetError(
            f"`resolution` is {resolution[0]}x{resolution[1]} and `min_bucket_reso` rounds to {shortest}, "
            f"but buckets come in steps of {step} px. Raise them to {step} at least, or lower "
            "`bucket_reso_steps` where the model allows it."
        )
    sizes = {Bucket(square, square)}
    for side in range(shortest, longest + step, step):
        other = min(longest, area // side // step * step)
        if other >= shortest:
            sizes |= {Bucket(side, other), Bucket(other, side)}
    return tuple(sorted(sizes))


def nearest_bucket(size: Size, buckets: Sequence[Bucket]) -> Bucket:
    """Choose the bucket of exactly this size, else the first of the nearest width/height ratio."""
    exact = Bucket(*size)
    if exact in buckets:
        return exact
    ratio = size[0] / size[1]
    return min(buckets, key=lambda bucket: abs(bucket.width / bucket.height - ratio))


def bucket_counts(plan: BucketPlan, images: Sequence[ImageFile]) -> tuple[int, ...]:
    """Count pictures times repeats per bucket in use, sorted by bucket."""
    counts = dict.fromkeys(plan.buckets, 0)
    for placement, image in zip(plan.placements, images, strict=True):
        counts[placement.bucket] += image.repeats
    return tuple(counts.values())


def set_too_small_aside(
    settings: BucketSettings, images: Sequence[ImageFile], *, step: int
) -> tuple[tuple[ImageFile, ...], tuple[Skipped, ...]]:
    """Split into pictures that have a bucket and those too small for one when they may not be enlarged."""
    if not (settings.enable_bucket and settings.bucket_no_upscale):
        return tuple(images), ()
    kept = tuple(image for image in images if min(image.size) >= step)
    small = tuple(
        Skipped(image.path, _too_small(image.size, step)) for image in images if min(image.size) < step
    )
    return kept, small


def _too_small(size: Size, step: int) -> str:
    return (
        f"it is {size[0]}x{size[1]}, smaller than the bucket step ({step} px), and `bucket_no_upscale` is "
        "on; turn that off or use a larger picture"
    )


def _cover(size: Size, bucket: Bucket) -> Placement:
    """Scale by the smallest factor that covers the bucket, and cut the centre out."""
    width, height = size
    wider = width / height > bucket.width / bucket.height
    scale = bucket.height / height if wider else bucket.width / width
    return _centred(bucket, (int(width * scale + 0.5), int(height * scale + 0.5)))


def _centred(bucket: Bucket, resized: Size) -> Placement:
    return Placement(bucket, resized, ((resized[0] - bucket.width) // 2, (resized[1] - bucket.height) // 2))


def _place_by_own_size(image: ImageFile, resolution: Size, step: int) -> Placement:
    """Make the bucket from the picture: shrunk to the area if larger, then cut to multiples of ``step``."""
    if min(image.size) < step:
        raise DatasetError(f"{image.path}: {_too_small(image.size, step)}.")
    area = resolution[0] * resolution[1]
    width, height = image.size
    resized = image.size if width * height <= area else _shrunk(image.size, area, step)
    bucket = _within(area, [side // step * step for side in resized], step)
    return _centred(bucket, resized)


def _shrunk(size: Size, area: int, step: int) -> Size:
    """Scale down to about ``area``, one side a multiple of ``step``: the side that keeps the ratio better."""
    ratio = size[0] / size[1]
    exact_width = math.sqrt(area * ratio)
    width = _rounded(exact_width, step)
    height = _rounded(area / exact_width, step)
    by_width = _ratio_error(width, _rounded(width / ratio, step), ratio)
    by_height = _ratio_error(_rounded(height * ratio, step), height, ratio)
    if math.isinf(by_width) and math.isinf(by_height):
        # So long and narrow that the area leaves less than a step: keep one step, and cut the length instead.
        return (int(step * ratio + 0.5), step) if ratio > 1 else (step, int(step / ratio + 0.5))
    if by_width < by_height:
        return width, int(width / ratio + 0.5)
    return int(height * ratio + 0.5), height


def _rounded(side: float, step: int) -> int:
    return int(side + 0.5) // step * step


def _ratio_error(width: int, height: int, ratio: float) -> float:
    return abs(width / height - ratio) if width and height else math.inf


def _within(area: int, sides: list[int], step: int) -> Bucket:
    """Shorten the longer side, by steps, until the area fits; only extreme ratios need it."""
    longer = 0 if sides[0] >= sides[1] else 1
    sides[longer] = min(sides[longer], max(step, area // sides[1 - longer] // step * step))
    return Bucket(*sides)
