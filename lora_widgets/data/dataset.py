"""Batches by index: ``batch_at(index)`` is a pure function of the seed and the micro-step."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lora_widgets.data.buckets import BucketPlan, Placement
from lora_widgets.data.captions import (
    CaptionSettings,
    captions_drop,
    captions_vary,
    compose,
    compose_kept,
    is_dropped,
)
from lora_widgets.data.images import open_image, place
from lora_widgets.data.order import Group, count_batches, epoch_order, group_by_bucket
from lora_widgets.data.randomness import rng_for
from lora_widgets.data.scan import ImageFile
from lora_widgets.errors import DatasetError

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
        """Cut at a random place instead of the centre."""
        ...

    @property
    def latent_cache_crops(self) -> int:
        """Crops of each picture among cached latents, where pictures are cut at random."""
        ...


class LatentKey(NamedTuple):
    """Which latents: of which picture (by index), of which of its cached crops (from 0), mirrored or not."""

    image: int
    crop: int
    flipped: bool


class Latents(Protocol):
    """What a data set asks of cached latents."""

    def __getitem__(self, key: LatentKey) -> Tensor:
        """Return (C, h, w), float32 on the CPU."""
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
        self._latents: Latents | None = None
        self._caption_variants: int | None = None
        self._order_of = lru_cache(maxsize=EPOCHS_REMEMBERED)(self._make_order)

    def use_latents(self, latents: Latents) -> None:
        """Let all following batches carry these latents instead of pixels."""
        self._latents = latents

    def use_caption_variants(self, count: int) -> None:
        """Let captions that vary be one of ``count`` for each picture, drawn at each showing.

        The variants are a function of the seed, and come as often as each other.
        """
        self._caption_variants = count

    def batch_at(self, index: int) -> Batch:
        """Return the batch of the micro-step ``index`` (from 0, counted over all epochs)."""
        epoch = index // self.batches_per_epoch + 1
        group = self._order_of(epoch)[index % self.batches_per_epoch]
        flipped = tuple(self._is_flipped(index, position) for position in range(len(group)))
        captions = tuple(
            self._caption(image, index, position, epoch=epoch) for position, image in enumerate(group)
        )
        if self._latents is not None:
            latents = [
                self._latents[LatentKey(image, self._crop_number(image, index, position), flip)]
                for position, (image, flip) in enumerate(zip(group, flipped, strict=True))
            ]
            return Batch(None, torch.stack(latents), captions, group, flipped)
        pixels = [
            self.pixels_of(image, crop=self._crop(index, position, self.placement_of(image)), flip=flip)
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
        return place(picture, self.placement_of(image), crop=crop, flip=flip)

    def placement_of(self, image: int) -> Placement:
        """Return how a picture gets into its bucket."""
        return self.plan.placements[image]

    def latent_keys(self, image: int) -> tuple[LatentKey, ...]:
        """List the latents that batches can ask for of one picture."""
        directions = (False, True) if self.settings.flip_aug else (False,)
        return tuple(
            LatentKey(image, crop, flipped)
            for crop in range(self._num_crops(image))
            for flipped in directions
        )

    def cached_crop(self, key: LatentKey) -> tuple[int, int]:
        """Return left and top edge of a cached crop within the scaled picture; a function of the seed."""
        placement = self.placement_of(key.image)
        if not self.settings.random_crop:
            return placement.crop
        return _random_crop(placement, rng_for(self.seed, "cached crop", key.image, key.crop))

    def all_captions(self) -> set[str] | None:
        """Return every caption that can occur, "" too if they can be dropped.

        None if captions vary and ``use_caption_variants`` sets no bound.
        """
        if captions_vary(self.settings) and self._caption_variants is None:
            return None
        captions = {
            self._variant(image, number)
            for image in range(len(self.images))
            for number in range(self._num_variants())
        }
        return captions | {""} if captions_drop(self.settings) else captions

    def _make_order(self, epoch: int) -> tuple[Group, ...]:
        batch_size = self.settings.train_batch_size
        return epoch_order(self._groups, batch_size=batch_size, seed=self.seed, epoch=epoch)

    def _caption(self, image: int, index: int, position: int, *, epoch: int) -> str:
        rng = rng_for(self.seed, "caption", index, position)
        if self._caption_variants is None:
            return compose(self.images[image].captions, self.settings, rng, epoch=epoch)
        if is_dropped(self.settings, rng, epoch=epoch):
            return ""
        choice = rng_for(self.seed, "text variant", index, position)
        return self._variant(image, choice.randrange(self._num_variants()))

    def _variant(self, image: int, number: int) -> str:
        rng = rng_for(self.seed, "caption variant", image, number)
        return compose_kept(self.images[image].captions, self.settings, rng)

    def _num_variants(self) -> int:
        return (self._caption_variants or 1) if captions_vary(self.settings) else 1

    def _num_crops(self, image: int) -> int:
        """Count the crops among cached latents; a picture that fits its bucket has only one."""
        placement = self.placement_of(image)
        fits = placement.resized == (placement.bucket.width, placement.bucket.height)
        return self.settings.latent_cache_crops if self.settings.random_crop and not fits else 1

    def _crop_number(self, image: int, index: int, position: int) -> int:
        count = self._num_crops(image)
        return rng_for(self.seed, "crop number", index, position).randrange(count) if count > 1 else 0

    def _is_flipped(self, index: int, position: int) -> bool:
        if not self.settings.flip_aug:
            return False
        return rng_for(self.seed, "flip", index, position).random() < FLIP_PROBABILITY

    def _crop(self, index: int, position: int, placement: Placement) -> tuple[int, int] | None:
        if not self.settings.random_crop:
            return None
        return _random_crop(placement, rng_for(self.seed, "crop", index, position))


def _random_crop(placement: Placement, rng: random.Random) -> tuple[int, int]:
    """Draw left and top edge; every place within the scaled picture is as likely."""
    spare_width = placement.resized[0] - placement.bucket.width
    spare_height = placement.resized[1] - placement.bucket.height
    return rng.randint(0, spare_width), rng.randint(0, spare_height)
