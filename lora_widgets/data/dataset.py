"""Batches by index: ``batch_at(index)`` is a pure function of the seed and the micro-step."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lora_widgets.data.buckets import BucketPlan
from lora_widgets.data.captions import captions_drop, captions_vary, compose, compose_kept
from lora_widgets.data.images import Offset, open_alpha, open_image, open_mask, place, place_mask
from lora_widgets.data.order import BatchSettings, epoch_order, group_by_bucket
from lora_widgets.data.randomness import rng_for
from lora_widgets.data.scan import ImageFile
from lora_widgets.errors import DatasetError

if TYPE_CHECKING:
    from lora_widgets.data.cache import LatentCache

FLIP_PROBABILITY = 0.5
# The consumer and the prefetcher are at most one epoch apart; a few more serve readers that jump.
EPOCHS_REMEMBERED = 4


@dataclass(frozen=True)
class Batch:
    """Examples of one bucket: either ``pixels`` (B, 3, H, W) in [-1, 1] or cached ``latents`` (B, C, h, w).

    ``images`` are the indices of the pictures; ``flipped`` says which of them are mirrored, ``is_reg`` which
    are there for regularisation. ``masks`` (B, 1, H, W) in [0, 1] say where to learn; None is everywhere.
    """

    pixels: Tensor | None
    latents: Tensor | None
    captions: tuple[str, ...]
    images: tuple[int, ...]
    flipped: tuple[bool, ...]
    is_reg: tuple[bool, ...]
    masks: Tensor | None = None


class Dataset:
    """The pictures of a run as a sequence of batches without end, epoch after epoch.

    ``parts`` are the settings of the batches of each part of the pictures; how a picture and its caption vary
    is said by the settings of its subset.
    """

    def __init__(
        self, images: Sequence[ImageFile], plan: BucketPlan, parts: Sequence[BatchSettings], *, seed: int
    ) -> None:
        self.images = tuple(images)
        self.plan = plan
        self.seed = seed
        self._groups = group_by_bucket(plan, self.images, parts)
        if not self._groups:
            raise DatasetError(
                "There are no pictures to train on. "
                "Check `train_data_dir`, and that the repeats are at least 1."
            )
        self.batches_per_epoch = sum(group.num_batches for group in self._groups)
        self._latents: LatentCache | None = None
        self._order_of = lru_cache(maxsize=EPOCHS_REMEMBERED)(self._make_order)

    def use_latents(self, cache: "LatentCache") -> None:
        """Let all following batches carry these latents instead of pixels."""
        self._latents = cache

    def batch_at(self, index: int) -> Batch:
        """Return the batch of the micro-step ``index`` (from 0, counted over all epochs)."""
        epoch = index // self.batches_per_epoch + 1
        group = self._order_of(epoch)[index % self.batches_per_epoch]
        flipped = tuple(self._is_flipped(index, position, image) for position, image in enumerate(group))
        captions = tuple(
            compose(
                self.images[image].captions,
                self.images[image].subset.settings,
                rng_for(self.seed, "caption", index, position),
                epoch=epoch,
            )
            for position, image in enumerate(group)
        )
        is_reg = tuple(self.images[image].subset.is_reg for image in group)
        crops = [self._crop(index, position, image) for position, image in enumerate(group)]
        masks = self._masks(group, crops, flipped)
        if self._latents is not None:
            stacked = torch.stack(
                [self._latents[image, flip] for image, flip in zip(group, flipped, strict=True)]
            )
            return Batch(None, stacked, captions, group, flipped, is_reg, masks)
        pixels = [
            self.pixels_of(image, crop=crop, flip=flip)
            for image, crop, flip in zip(group, crops, flipped, strict=True)
        ]
        return Batch(torch.stack(pixels), None, captions, group, flipped, is_reg, masks)

    def pixels_of(self, image: int, *, crop: Offset | None, flip: bool) -> Tensor:
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

    def mask_of(self, image: int, *, crop: Offset | None, flip: bool) -> Tensor | None:
        """Read where to learn from one picture by index -> (1, H, W) in [0, 1]; None is everywhere.

        The picture's transparency and its mask file both count: where either is 0, nothing is learned.

        Raises:
            DatasetError: the mask is gone or damaged.
        """
        file = self.images[image]
        masks = [open_mask(file.mask)] if file.mask else []
        if file.subset.settings.alpha_mask and (alpha := open_alpha(file.path)):
            masks.append(alpha)
        placed = [place_mask(mask, self.plan.placements[image], crop=crop, flip=flip) for mask in masks]
        return torch.stack(placed).prod(dim=0) if placed else None

    def all_captions(self) -> set[str] | None:
        """Return every caption that can occur, "" too if they can be dropped; None if they vary by draw."""
        if any(captions_vary(image.subset.settings) for image in self.images):
            return None
        unused_rng = rng_for(self.seed, "all captions")
        captions = {compose_kept(image.captions, image.subset.settings, unused_rng) for image in self.images}
        is_dropped = any(captions_drop(image.subset.settings) for image in self.images)
        return captions | {""} if is_dropped else captions

    def _make_order(self, epoch: int) -> tuple[tuple[int, ...], ...]:
        return epoch_order(self._groups, seed=self.seed, epoch=epoch)

    def _is_flipped(self, index: int, position: int, image: int) -> bool:
        if not self.images[image].subset.settings.flip_aug:
            return False
        return rng_for(self.seed, "flip", index, position).random() < FLIP_PROBABILITY

    def _masks(
        self, group: Sequence[int], crops: Sequence[Offset | None], flipped: Sequence[bool]
    ) -> Tensor | None:
        """Read the masks of a batch; pictures without one learn everywhere."""
        found = [
            self.mask_of(image, crop=crop, flip=flip)
            for image, crop, flip in zip(group, crops, flipped, strict=True)
        ]
        whole = next((torch.ones_like(mask) for mask in found if mask is not None), None)
        return None if whole is None else torch.stack([whole if mask is None else mask for mask in found])

    def _crop(self, index: int, position: int, image: int) -> Offset | None:
        if not self.images[image].subset.settings.random_crop:
            return None
        placement = self.plan.placements[image]
        rng = rng_for(self.seed, "crop", index, position)
        spare_width = placement.resized[0] - placement.bucket.width
        spare_height = placement.resized[1] - placement.bucket.height
        return rng.randint(0, spare_width), rng.randint(0, spare_height)
