"""Aspect-ratio buckets: which sizes there are, which one a picture goes to, how it is scaled and cut.

Pure functions on sizes. The arithmetic is that of kohya-ss/sd-scripts (make_bucket_resolutions,
BucketManager.select_bucket), so that data sets land in the buckets their owners know; its division by zero
for extreme ratios without upscaling is not.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from lora_widgets.data.image_file import ImageFile, Skipped
from lora_widgets.data.part_settings import BucketSettings
from lora_widgets.errors import DatasetError

Size = tuple[int, int]


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
        return BucketPlan(tuple(cover(image.size, only) for image in images))
    if settings.bucket_no_upscale:
        return BucketPlan(tuple(_place_by_own_size(image, resolution, step) for image in images))
    nearest = chooser(
        bucket_sizes(
            resolution, shortest=settings.min_bucket_reso, longest=settings.max_bucket_reso, step=step
        )
    )
    place = cache(lambda size: cover(size, nearest(size)))  # data sets hold few sizes, many times
    return BucketPlan(tuple(place(image.size) for image in images))


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


def chooser(buckets: Sequence[Bucket]) -> Callable[[Size], Bucket]:
    """Return a function that chooses, for a size, the bucket of exactly this size, else the nearest.

    The nearest is the one with the smallest difference of the ratios width/height; the first of several.
    """
    exact = {(bucket.width, bucket.height): bucket for bucket in buckets}
    first: dict[float, int] = {}
    for place, bucket in enumerate(buckets):
        first.setdefault(bucket.width / bucket.height, place)
    ratios = sorted(first)

    def nearest(size: Size) -> Bucket:
        if size in exact:
            return exact[size]
        ratio = size[0] / size[1]
        place = bisect_left(ratios, ratio)
        around = ratios[max(0, place - 1) : place + 1]
        return buckets[min((abs(other - ratio), first[other]) for other in around)[1]]

    return nearest


def crop_conditioning(size: Size, bucket: Bucket, *, flip: bool) -> tuple[int, int]:
    """Return (left, top) as SDXL's crop conditioning counts it (Podell et al. 2023, arXiv:2307.01952, 2.2).

    As in sd-scripts (BucketManager.get_crop_ltrb) it is the place of the whole picture, scaled to fit into
    the bucket, and not that of the cut; a mirrored picture counts from the other side.
    """
    ratio = size[0] / size[1]
    is_narrower = bucket.width / bucket.height > ratio
    width = bucket.height * ratio if is_narrower else bucket.width
    height = bucket.height if is_narrower else bucket.width / ratio
    left, top = (bucket.width - width) // 2, (bucket.height - height) // 2
    return int(bucket.width - left - width if flip else left), int(top)


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


def cover(size: Size, bucket: Bucket) -> Placement:
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
