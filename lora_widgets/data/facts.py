"""What the rules and the step arithmetic need to know about the pictures; torch-free for the panel."""

from dataclasses import replace
from typing import NamedTuple, Protocol

from lora_widgets.config.facts import DatasetFacts
from lora_widgets.data.buckets import (
    BucketPlan,
    BucketSettings,
    bucket_counts,
    plan_buckets,
    set_too_small_aside,
)
from lora_widgets.data.layout import named
from lora_widgets.data.long_captions import long_captions
from lora_widgets.data.scan import Scan, ScanSettings, scan
from lora_widgets.errors import DatasetError


class FactsSettings(ScanSettings, BucketSettings, Protocol):
    """The settings that decide which pictures are trained on and at which size."""

    @property
    def resolution_size(self) -> tuple[int, int]:
        """Width and height whose area the buckets keep to."""
        ...

    @property
    def bucket_step(self) -> int:
        """Sides of buckets are multiples of this."""
        ...

    @property
    def pretrained_model_name_or_path(self) -> str:
        """The base model, whose tokenizer says how long captions are."""
        ...


class FoundPictures(NamedTuple):
    """The pictures to train on, their placements, and both in numbers."""

    scan: Scan
    plan: BucketPlan
    facts: DatasetFacts


def facts_for(settings: FactsSettings) -> FoundPictures:
    """Scan and bucket the pictures; those too small for a bucket are among the skipped ones.

    Raises:
        DatasetError: no picture can be used, or no bucket can be made.
    """
    found = scan(settings)
    images, too_small = set_too_small_aside(settings, found.images, step=settings.bucket_step)
    if not images:
        raise DatasetError(
            "No picture can be used: " + named(f"{small.path.name}: {small.reason}" for small in too_small)
        )
    found = replace(found, images=images, skipped=(*found.skipped, *too_small))
    plan = plan_buckets(settings, images, resolution=settings.resolution_size, step=settings.bucket_step)
    long = long_captions(images, settings.pretrained_model_name_or_path)
    return FoundPictures(found, plan, replace(dataset_facts(found, plan), long_captions=long))


def dataset_facts(found: Scan, plan: BucketPlan) -> DatasetFacts:
    """Put a scan and its placements into numbers and sentences."""
    return DatasetFacts(
        images=len(found.images),
        bucket_counts=bucket_counts(plan, found.images),
        skipped=tuple(f"{skipped.path.name}: {skipped.reason}" for skipped in found.skipped),
        without_caption=found.without_caption,
    )
