"""What the rules and the step arithmetic need to know about the pictures; torch-free for the panel."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from lora_widgets.config.facts import DatasetFacts
from lora_widgets.data.buckets import (
    BucketPlan,
    Placement,
    plan_buckets,
    set_too_small_aside,
)
from lora_widgets.data.image_file import ImageFile, Skipped
from lora_widgets.data.layout import named
from lora_widgets.data.long_captions import long_captions
from lora_widgets.data.merge import merge_small_buckets
from lora_widgets.data.order import group_by_bucket
from lora_widgets.data.part_settings import PartSettings
from lora_widgets.data.regularisation import balance
from lora_widgets.data.scan import Scan, ScanSettings, scan
from lora_widgets.errors import DatasetError

SENTENCE_WORDS = 8
WORDS_BETWEEN_COMMAS = 5
MUCH_LARGER = 2.0


class FactsSettings(ScanSettings, Protocol):
    """The settings that decide which pictures are trained on and at which size."""

    @property
    def pretrained_model_name_or_path(self) -> str:
        """The base model, whose tokenizer says how long captions are."""
        ...

    @property
    def tokenizer_path(self) -> str | None:
        """The tokenizer that does so in its place, if there is one."""
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
    return placed(scan(settings), settings)


def placed(found: Scan, settings: FactsSettings) -> FoundPictures:
    """Bucket pictures that were found, without looking for them again.

    Raises:
        DatasetError: no picture can be used, or no bucket can be made.
    """
    found = _without_too_small(found)
    images: list[ImageFile] = []
    placements: list[Placement] = []
    for number, part in enumerate(found.parts):
        here = [image for image in found.images if image.subset.part == number]
        images += here
        placements += plan_part(part, here).placements
    found, plan = replace(found, images=tuple(images)), BucketPlan(tuple(placements))
    return FoundPictures(found, plan, dataset_facts(found, plan, settings))


def plan_part(settings: PartSettings, images: Sequence[ImageFile]) -> BucketPlan:
    """Place the pictures of one part, and merge its small buckets if that is wanted."""
    plan = plan_buckets(settings, images, resolution=settings.resolution_size, step=settings.bucket_step)
    if not (images and settings.enable_bucket and settings.merges_buckets):
        return plan
    return merge_small_buckets(
        plan, images, batch_size=settings.train_batch_size, may_enlarge=not settings.bucket_no_upscale
    )


def dataset_facts(found: Scan, plan: BucketPlan, settings: FactsSettings) -> DatasetFacts:
    """Put a scan and its placements into numbers and sentences."""
    groups = group_by_bucket(plan, found.images, found.parts)
    return DatasetFacts(
        images=len(found.images),
        bucket_counts=tuple(len(group.indices) for group in groups),
        bucket_sizes=tuple(_sides(plan.placements[group.indices[0]]) for group in groups),
        batch_sizes=tuple(group.batch_size for group in groups) if settings.dataset_config else (),
        skipped=tuple(f"{skipped.path.name}: {skipped.reason}" for skipped in found.skipped),
        without_caption=found.without_caption,
        sentences=sum(is_sentence(image.captions[0]) for image in found.images),
        enlarged=sum(map(_is_enlarged, found.images, plan.placements)),
        shapes=len({round(image.size[0] / image.size[1], 2) for image in found.images}),
        long_captions=long_captions(
            found.images, settings.pretrained_model_name_or_path, settings.tokenizer_path
        ),
    )


def _without_too_small(found: Scan) -> Scan:
    """Set pictures aside that have no bucket; regularisation pictures are then balanced anew.

    Raises:
        DatasetError: no picture is left.
    """
    kept: list[ImageFile] = []
    small: list[Skipped] = []
    for number, part in enumerate(found.parts):
        here = [image for image in found.images if image.subset.part == number]
        usable, too_small = set_too_small_aside(part, here, step=part.bucket_step)
        kept += usable
        small += too_small
    if not kept:
        raise DatasetError(
            "No picture can be used: " + named(f"{file.path.name}: {file.reason}" for file in small)
        )
    images = balance(kept).images if small else found.images
    return replace(found, images=images, skipped=(*found.skipped, *small))


def is_sentence(caption: str) -> bool:
    """Tell, by the words between commas, whether a caption is a sentence rather than a list of tags."""
    words, tags = len(caption.split()), caption.count(",") + 1
    return words >= SENTENCE_WORDS and words / tags >= WORDS_BETWEEN_COMMAS


def _sides(placement: Placement) -> tuple[int, int]:
    return placement.bucket.width, placement.bucket.height


def _is_enlarged(image: ImageFile, placement: Placement) -> bool:
    return placement.resized[0] > MUCH_LARGER * image.size[0]
