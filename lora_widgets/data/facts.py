"""What the rules and the step arithmetic need to know about the pictures; torch-free for the panel."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from lora_widgets.config.facts import DatasetFacts
from lora_widgets.data.buckets import (
    BucketPlan,
    BucketSettings,
    Placement,
    plan_buckets,
    set_too_small_aside,
)
from lora_widgets.data.layout import named
from lora_widgets.data.merge import merge_small_buckets
from lora_widgets.data.order import BatchSettings, group_by_bucket
from lora_widgets.data.scan import ImageFile, Scan, ScanSettings, Skipped, scan
from lora_widgets.errors import DatasetError

SENTENCE_WORDS = 8
WORDS_BETWEEN_COMMAS = 5
MUCH_LARGER = 2.0


class PartSettings(BucketSettings, BatchSettings, Protocol):
    """The settings that pictures share which can be in one batch."""

    @property
    def resolution_size(self) -> tuple[int, int]:
        """Width and height whose area the buckets keep to."""
        ...

    @property
    def bucket_step(self) -> int:
        """Sides of buckets are multiples of this."""
        ...

    @property
    def merges_buckets(self) -> bool:
        """Move pictures out of buckets that never fill a batch."""
        ...


class FactsSettings(ScanSettings, PartSettings, Protocol):
    """The settings that decide which pictures are trained on and at which size."""


class FoundPictures(NamedTuple):
    """The pictures to train on, their placements, and both in numbers."""

    scan: Scan
    plan: BucketPlan
    parts: tuple[PartSettings, ...]
    facts: DatasetFacts


def facts_for(settings: FactsSettings) -> FoundPictures:
    """Scan and bucket the pictures; those too small for a bucket are among the skipped ones.

    Raises:
        DatasetError: no picture can be used, or no bucket can be made.
    """
    return placed(scan(settings), [settings])


def placed(found: Scan, parts: Sequence[PartSettings]) -> FoundPictures:
    """Bucket pictures that were found; nothing is read from the disk.

    Raises:
        DatasetError: no picture can be used, or no bucket can be made.
    """
    by_part = [[image for image in found.images if image.subset.part == n] for n in range(len(parts))]
    kept, skipped, placements = [], list(found.skipped), []
    for part, images in zip(parts, by_part, strict=True):
        usable, small, plan = _place_part(part, images)
        kept += usable
        skipped += small
        placements += plan.placements
    if not kept:
        raise DatasetError(
            "No picture can be used: " + named(f"{small.path.name}: {small.reason}" for small in skipped)
        )
    found = replace(found, images=tuple(kept), skipped=tuple(skipped))
    plan = BucketPlan(tuple(placements))
    return FoundPictures(found, plan, tuple(parts), dataset_facts(found, plan, parts))


def dataset_facts(found: Scan, plan: BucketPlan, parts: Sequence[PartSettings]) -> DatasetFacts:
    """Put a scan and its placements into numbers and sentences."""
    groups = group_by_bucket(plan, found.images, parts)
    return DatasetFacts(
        images=len(found.images),
        bucket_counts=tuple(len(group.indices) for group in groups),
        batch_sizes=tuple(group.batch_size for group in groups) if len(parts) > 1 else (),
        skipped=tuple(f"{skipped.path.name}: {skipped.reason}" for skipped in found.skipped),
        without_caption=found.without_caption,
        sentences=sum(is_sentence(image.captions[0]) for image in found.images),
        enlarged=sum(map(_is_enlarged, found.images, plan.placements)),
        shapes=len({round(image.size[0] / image.size[1], 2) for image in found.images}),
    )


def is_sentence(caption: str) -> bool:
    """Tell, by the words between commas, whether a caption is a sentence rather than a list of tags."""
    words, tags = len(caption.split()), caption.count(",") + 1
    return words >= SENTENCE_WORDS and words / tags >= WORDS_BETWEEN_COMMAS


def _is_enlarged(image: ImageFile, placement: Placement) -> bool:
    return placement.resized[0] > MUCH_LARGER * image.size[0]


def _place_part(
    settings: PartSettings, images: Sequence[ImageFile]
) -> tuple[Sequence[ImageFile], Sequence[Skipped], BucketPlan]:
    usable, small = set_too_small_aside(settings, images, step=settings.bucket_step)
    plan = plan_buckets(settings, usable, resolution=settings.resolution_size, step=settings.bucket_step)
    if settings.enable_bucket and settings.merges_buckets and usable:
        plan = merge_small_buckets(
            plan, usable, batch_size=settings.train_batch_size, may_enlarge=not settings.bucket_no_upscale
        )
    return usable, small, plan
