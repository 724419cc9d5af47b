"""The batches that training will make of the pictures: the one place where the dry run asks for them."""

from dataclasses import dataclass

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.buckets import Placement
from lora_widgets.data.facts import FoundPictures
from lora_widgets.data.order import Group, count_batches, epoch_order, group_by_bucket
from lora_widgets.data.scan import ImageFile

BucketKey = tuple[int, int, int]


@dataclass(frozen=True)
class BucketRow:
    """One bucket in numbers: its pictures, how often they are shown per epoch, and the batches of an epoch.

    ``key`` is (part, width, height). ``last_batch`` is the number of pictures in the smaller last batch, 0
    where every batch is full.
    """

    key: BucketKey
    pictures: int
    shown: int
    batches: int
    batch_size: int
    last_batch: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.key[1:]


def bucket_key(image: ImageFile, placement: Placement) -> BucketKey:
    """Return the part and the size that pictures of one batch share."""
    return image.subset.part, placement.bucket.width, placement.bucket.height


def bucket_rows(found: FoundPictures, config: TrainingConfig) -> tuple[BucketRow, ...]:
    """Put every bucket into numbers, sorted by part and size."""
    pictures: dict[BucketKey, list[ImageFile]] = {}
    for image, placement in zip(found.scan.images, found.plan.placements, strict=True):
        pictures.setdefault(bucket_key(image, placement), []).append(image)
    return tuple(_row(key, pictures[key], config.train_batch_size) for key in sorted(pictures))


def batches_of_epoch(found: FoundPictures, config: TrainingConfig, epoch: int) -> tuple[Group, ...]:
    """List the batches of an epoch (from 1) in the order of training, each the indices of its pictures."""
    groups = group_by_bucket(found.plan, found.scan.images)
    return epoch_order(groups, batch_size=config.train_batch_size, seed=config.seed, epoch=epoch)


def _row(key: BucketKey, images: list[ImageFile], batch_size: int) -> BucketRow:
    shown = sum(image.repeats for image in images)
    batches = count_batches([(0,) * shown], batch_size)
    return BucketRow(key, len(images), shown, batches, batch_size, shown % batch_size)
