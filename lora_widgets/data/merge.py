"""Move the pictures of buckets that never fill a batch to the nearest bucket that does."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from lora_widgets.data.buckets import Bucket, BucketPlan, Placement, Size, chooser, cover
from lora_widgets.data.image_file import ImageFile


def merge_small_buckets(
    plan: BucketPlan, images: Sequence[ImageFile], *, batch_size: int, may_enlarge: bool
) -> BucketPlan:
    """Return a plan in which buckets with fewer pictures (with repeats) than a batch have lent theirs out.

    Each such picture goes to the bucket, among those that fill a batch, whose ratio is nearest to its own;
    where none does, to the fullest one. Without ``may_enlarge`` a picture only goes where it need not be made
    larger, and otherwise stays.
    """
    counts = Counter[Bucket]()
    for placement, image in zip(plan.placements, images, strict=True):
        counts[placement.bucket] += image.repeats
    small = {bucket for bucket, count in counts.items() if count < batch_size}
    targets = sorted(set(counts) - small) or [max(sorted(counts), key=lambda bucket: counts[bucket])]
    moved = [
        _move(placement, image.size, targets, may_enlarge=may_enlarge)
        if placement.bucket in small and placement.bucket not in targets
        else placement
        for placement, image in zip(plan.placements, images, strict=True)
    ]
    return replace(plan, placements=tuple(moved))


def _move(placement: Placement, size: Size, targets: Sequence[Bucket], *, may_enlarge: bool) -> Placement:
    fitting = [
        bucket for bucket in targets if may_enlarge or (bucket.width <= size[0] and bucket.height <= size[1])
    ]
    return cover(size, chooser(fitting)(size)) if fitting else placement
