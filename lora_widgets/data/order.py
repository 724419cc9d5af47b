"""The order of an epoch: which pictures form which batch; a pure function of (seed, epoch)."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from lora_widgets.data.buckets import Bucket, BucketPlan
from lora_widgets.data.randomness import rng_for
from lora_widgets.data.scan import ImageFile

Group = tuple[int, ...]
Item = TypeVar("Item")


def group_by_bucket(plan: BucketPlan, images: Sequence[ImageFile]) -> tuple[Group, ...]:
    """List, per bucket in sorted order, the index of each picture as often as it is repeated."""
    groups: defaultdict[Bucket, list[int]] = defaultdict(list)
    for index, (placement, image) in enumerate(zip(plan.placements, images, strict=True)):
        groups[placement.bucket].extend([index] * image.repeats)
    return tuple(tuple(groups[bucket]) for bucket in sorted(groups) if groups[bucket])


def count_batches(groups: Sequence[Group], batch_size: int) -> int:
    """Count the batches of one epoch: each bucket's last batch may be smaller, nothing is left out."""
    return sum(-(-len(group) // batch_size) for group in groups)


def epoch_order(groups: Sequence[Group], *, batch_size: int, seed: int, epoch: int) -> tuple[Group, ...]:
    """Shuffle within each bucket, cut into batches, shuffle the batches; ``epoch`` counts from 1."""
    rng = rng_for(seed, "order", epoch)
    batches: list[Group] = []
    for group in groups:
        shuffled = list(group)
        rng.shuffle(shuffled)
        batches += chunks(shuffled, batch_size)
    rng.shuffle(batches)
    return tuple(batches)


def chunks(items: Sequence[Item], size: int) -> list[tuple[Item, ...]]:
    """Cut a sequence into pieces of ``size``; the last may be shorter."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]
