"""The order of an epoch: which pictures form which batch; a pure function of (seed, epoch)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from lora_widgets.data.buckets import Bucket, BucketPlan
from lora_widgets.data.image_file import ImageFile
from lora_widgets.data.part_settings import BatchSettings
from lora_widgets.data.randomness import rng_for

Item = TypeVar("Item")


@dataclass(frozen=True)
class Group:
    """The pictures of one bucket: the index of each as often as it is repeated, and how many form a batch.

    ``is_filled`` says that pictures are shown once more until the last batch is full.
    """

    indices: tuple[int, ...]
    batch_size: int
    is_filled: bool

    @property
    def num_batches(self) -> int:
        """Batches per epoch; the last may be smaller, nothing is left out."""
        return -(-len(self.indices) // self.batch_size)


def group_by_bucket(
    plan: BucketPlan, images: Sequence[ImageFile], parts: Sequence[BatchSettings]
) -> tuple[Group, ...]:
    """List the pictures of each bucket, in the order of parts and sizes; a batch never mixes buckets."""
    groups: defaultdict[tuple[int, Bucket], list[int]] = defaultdict(list)
    for index, (placement, image) in enumerate(zip(plan.placements, images, strict=True)):
        groups[image.subset.part, placement.bucket].extend([index] * image.repeats)
    return tuple(_group(groups[key], parts[key[0]]) for key in sorted(groups) if groups[key])


def _group(indices: Sequence[int], settings: BatchSettings) -> Group:
    return Group(tuple(indices), settings.train_batch_size, settings.fills_batches)


def epoch_order(groups: Sequence[Group], *, seed: int, epoch: int) -> tuple[tuple[int, ...], ...]:
    """Shuffle within each bucket, cut into batches, shuffle the batches; ``epoch`` counts from 1."""
    rng = rng_for(seed, "order", epoch)
    batches: list[tuple[int, ...]] = []
    for group in groups:
        shuffled = list(group.indices)
        rng.shuffle(shuffled)
        if group.is_filled:
            shuffled = filled(shuffled, group.num_batches * group.batch_size)
        batches += chunks(shuffled, group.batch_size)
    rng.shuffle(batches)
    return tuple(batches)


def filled(indices: Sequence[int], length: int) -> list[int]:
    """Repeat a sequence from its beginning until it has ``length``."""
    return [indices[place % len(indices)] for place in range(length)]


def chunks(items: Sequence[Item], size: int) -> list[tuple[Item, ...]]:
    """Cut a sequence into pieces of ``size``; the last may be shorter."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]
