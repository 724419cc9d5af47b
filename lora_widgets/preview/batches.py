"""The batches that training will make of the pictures, in numbers. Pure."""

from dataclasses import dataclass

from lora_widgets.data.buckets import Placement
from lora_widgets.data.facts import FoundPictures
from lora_widgets.data.image_file import ImageFile
from lora_widgets.data.order import Group, group_by_bucket

BucketKey = tuple[int, int, int]


@dataclass(frozen=True)
class BucketRow:
    """One bucket in numbers: its pictures, how often they are shown per epoch, and the batches of an epoch.

    ``key`` is (part, width, height). ``last_batch`` is the number of pictures in the smaller last batch, 0
    where every batch is full; ``again`` is how many are shown once more to fill it.
    """

    key: BucketKey
    pictures: int
    shown: int
    batches: int
    batch_size: int
    last_batch: int
    again: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.key[1:]


def bucket_key(image: ImageFile, placement: Placement) -> BucketKey:
    """Return the part and the size that pictures of one batch share."""
    return image.subset.part, placement.bucket.width, placement.bucket.height


def bucket_rows(found: FoundPictures) -> tuple[BucketRow, ...]:
    """Put every bucket into numbers, in the order of parts and sizes."""
    images, placements = found.scan.images, found.plan.placements
    groups = group_by_bucket(found.plan, images, found.scan.parts)
    return tuple(
        _row(bucket_key(images[group.indices[0]], placements[group.indices[0]]), group) for group in groups
    )


def _row(key: BucketKey, group: Group) -> BucketRow:
    missing = group.num_batches * group.batch_size - len(group.indices)
    again = missing if group.is_filled else 0
    return BucketRow(
        key=key,
        pictures=len(set(group.indices)),
        shown=len(group.indices) + again,
        batches=group.num_batches,
        batch_size=group.batch_size,
        last_batch=0 if again else len(group.indices) % group.batch_size,
        again=again,
    )
