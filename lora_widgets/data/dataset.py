"""Batches by index: ``batch_at(index)`` is a pure function of the seed and the micro-step."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from lora_widgets.data.buckets import BucketPlan, Placement
from lora_widgets.data.captions import CaptionSettings, captions_drop, captions_vary, compose, compose_kept
from lora_widgets.data.images import open_image, place
from lora_widgets.data.order import Group, count_batches, epoch_order, group_by_bucket
from lora_widgets.data.randomness import rng_for
from lora_widgets.data.scan import ImageFile
from lora_widgets.errors import DatasetError

if TYPE_CHECKING:
    from lora_widgets.data.cache import LatentCache

FLIP_PROBABILITY = 0.5
# The consumer and the prefetcher are at most one epoch apart; a few more serve readers that jump.
EPOCHS_REMEMBERED = 4


class DatasetSettings(CaptionSettings, Protocol):
    """The settings a data set reads."""

    @property
    def train_batch_size(self) -> int:
        """Pictures per batch."""
        ...

    @property
    def flip_aug(self) -> bool:
        """Mirror pictures with probability one half."""
        ...

    @property
    def random_crop(self) -> bool:
        """Cut at a random place instead of the centre; without effect on cached latents."""
        ...


@dataclass(frozen=True)
class Batch:
    """Examples of one bucket: either ``pixels`` (B, 3, H, W) in [-1, 1] or cached ``latents`` (B, C, h, w).

    ``images`` are the indices of the pictures; ``flipped`` says which of them are mirrored.
    """

    pixels: Tensor | None
    latents: Tensor | None
    captions: tuple[str, ...]
    images: tuple[int, ...]
    flipped: tuple[bool, ...]


class Dataset:
    """The pictures of a run as a sequence of batches without end, epoch after epoch."""

    def __init__(
        self, images: Sequence[ImageFile], plan: BucketPlan, settings: DatasetSettings, *, seed: int
    ) -> None:
        self.images = tuple(images)
        self.plan = plan
        self.settings = settings
        self.seed = seed
        self._groups = group_by_bucket(plan, self.images)
        if not self._groups:
            raise DatasetError(
                "There are no pictures to train on. "
                "Check `train_data_dir`, and that the repeats are at least 1."
            )
        self.batches_per_epoch = count_batches(self._groups, settings.train_batch_size)
        self._latents: LatentCache | None = None
        self._order_of = lru_cache(maxsize=EPOCHS_REMEMBERED)(self._make_order)

    def use_latents(self, cache: "LatentCache") -> None:
        """Let all following batches carry these latents instead of pixels."""
        self._latents = cache

    def batch_at(self, index: int) -> Batch:
        """Return the batch of the micro-step ``index`` (from 0, counted over all epochs)."""
        epoch = index // self.batches_per_epoch + 1
        group = self._order_of(epoch)[index % self.batches_per_epoch]
        flipped = tuple(self._is_flipped(index, position) for position in range(len(group)))
        captions = tuple(
            compose(
                self.images[image].captions,
                self.settings,
                rng_for(self.seed, "caption", index, position),
                epoch=epoch,
            )
            for position, image in enumerate(group)
        )
        if self._latents is not None:
            stacked = torch.stack(
                [self._latents[image, flip] for image, flip in zip(group, flipped, strict=True)]
            )
            return Batch(None, stacked, captions, group, flipped)
        pixels = [
            self.pixels_of(image, crop=self._crop(index, position, self.plan.placements[image]), flip=flip)
            for position, (image, flip) in enumerate(zip(group, flipped, strict=True))
        ]
        return Batch(torch.stack(pixels), None, captions, group, flipped)

    def pixels_of(self, image: int, *, crop: tuple[int, int] | None, flip: bool) -> Tensor:
        """Read one picture by index -> (3, H, W) in [-1, 1]; ``crop`` None takes the centre.

        Raises:
            DatasetError: the file is gone, damaged, or has another size than when it was counted.
        """
        file = self.images[image]
        picture = open_image(file.path)
        if picture.size != file.size:
            raise DatasetError(
                f"The picture {file.path} is {picture.size[0]}x{picture.size[1]} now, but was "
                f"{file.size[0]}x{file.size[1]} when the run started. Leave the pictures alone "
                "while training, and start again."
            )
        return place(picture, self.plan.placements[image], crop=crop, flip=flip)

    def all_captions(self) -> set[str] | None:
        """Return every caption that can occur, "" too if they can be dropped; None if they vary by draw."""
        if captions_vary(self.settings):
            return None
        unused_rng = rng_for(self.seed, "all captions")
        captions = {compose_kept(image.captions, self.settings, unused_rng) for image in self.images}
        return captions | {""} if captions_drop(self.settings) else captions

    def _make_order(self, epoch: int) -> tuple[Group, ...]:
        batch_size = self.settings.train_batch_size
        return epoch_order(self._groups, batch_size=batch_size, seed=self.seed, epoch=epoch)

    def _is_flipped(self, index: int, position: int) -> bool:
        if not self.settings.flip_aug:
            return False
        return rng_for(self.seed, "flip", index, position).random() < FLIP_PROBABILITY

    def _crop(self, index: int, position: int, placement: Placement) -> tuple[int, int] | None:
        if not self.settings.random_crop:
            return None
        rng = rng_for(self.seed, "crop", index, position)
        spare_width = placement.resized[0] - placement.bucket.width
        spare_height = placement.resized[1] - placement.bucket.height
        return rng.randint(0, spare_width), rng.randint(0, spare_height)
