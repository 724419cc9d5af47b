"""Batches by index: ``batch_at(index)`` is a pure function of the seed and the micro-step."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lora_widgets.config.captions import captions_vary
from lora_widgets.data.buckets import BucketPlan, Placement, crop_conditioning
from lora_widgets.data.captions import captions_drop
from lora_widgets.data.image_file import ImageFile
from lora_widgets.data.images import Offset, open_alpha, open_image, open_mask, place, place_mask
from lora_widgets.data.order import epoch_order, group_by_bucket
from lora_widgets.data.part_settings import BatchSettings
from lora_widgets.data.randomness import rng_for
from lora_widgets.data.showing import CaptionDraws, Showing
from lora_widgets.data.subset import SubsetSettings
from lora_widgets.errors import DatasetError

FLIP_PROBABILITY = 0.5
# The consumer and the prefetcher are at most one epoch apart; a few more serve readers that jump.
EPOCHS_REMEMBERED = 4


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

    ``images`` are the indices of the pictures; ``flipped`` says which of them are mirrored, ``is_reg`` which
    are there for regularisation. ``masks`` (B, 1, H, W) in [0, 1] say where to learn; None is everywhere.
    ``sizes`` (B, 6) are in pixels: height and width of the file's picture, top and left of the crop as SDXL
    counts it, height and width of the bucket.
    """

    pixels: Tensor | None
    latents: Tensor | None
    captions: tuple[str, ...]
    images: tuple[int, ...]
    flipped: tuple[bool, ...]
    is_reg: tuple[bool, ...]
    masks: Tensor | None = None
    sizes: Tensor = field(kw_only=True)


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
        self._latents: Latents | None = None
        self._draws = CaptionDraws(seed)
        self._order_of = lru_cache(maxsize=EPOCHS_REMEMBERED)(self._make_order)

    @property
    def has_one_shape(self) -> bool:
        """Whether all batches are of one bucket and as many pictures."""
        group, *others = self._groups
        pictures, full = len(group.indices), group.batch_size
        return not others and (group.is_filled or pictures % full == 0 or pictures < full)

    def use_latents(self, latents: Latents) -> None:
        """Let all following batches carry these latents instead of pixels."""
        self._latents = latents

    def use_caption_variants(self, count: int) -> None:
        """Let captions that vary be one of ``count`` for each picture, drawn at each showing.

        The variants are a function of the seed, and come as often as each other.
        """
        self._draws = CaptionDraws(self.seed, count)

    def batch_at(self, index: int) -> Batch:
        """Return the batch of the micro-step ``index`` (from 0, counted over all epochs)."""
        epoch = index // self.batches_per_epoch + 1
        images = self._order_of(epoch)[index % self.batches_per_epoch]
        showings = [Showing(image, index, position) for position, image in enumerate(images)]
        captions = tuple(
            self._draws.at(showing, self.images[showing.image], epoch=epoch) for showing in showings
        )
        flipped = tuple(self._is_flipped(showing) for showing in showings)
        is_reg = tuple(self.images[image].subset.is_reg for image in images)
        sizes = torch.tensor(
            [self._sizes(image, flip=flip) for image, flip in zip(images, flipped, strict=True)]
        )
        if self._latents is not None:
            keys = [
                LatentKey(showing.image, self._crop_number(showing), flip)
                for showing, flip in zip(showings, flipped, strict=True)
            ]
            latents = torch.stack([self._latents[key] for key in keys])
            masks = self._masks(images, [self.cached_crop(key) for key in keys], flipped)
            return Batch(None, latents, captions, images, flipped, is_reg, masks, sizes=sizes)
        crops = [self._crop(showing) for showing in showings]
        pixels = [
            self.pixels_of(image, crop=crop, flip=flip)
            for image, crop, flip in zip(images, crops, flipped, strict=True)
        ]
        masks = self._masks(images, crops, flipped)
        return Batch(torch.stack(pixels), None, captions, images, flipped, is_reg, masks, sizes=sizes)

    def pixels_of(self, image: int, *, crop: Offset, flip: bool) -> Tensor:
        """Read one picture by index -> (3, H, W) in [-1, 1].

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

    def mask_of(self, image: int, *, crop: Offset, flip: bool) -> Tensor | None:
        """Read where to learn from one picture by index -> (1, H, W) in [0, 1]; None is everywhere.

        The picture's transparency and its mask file both count: where either is 0, nothing is learned.

        Raises:
            DatasetError: the mask is gone or damaged.
        """
        file = self.images[image]
        masks = [open_mask(file.mask)] if file.mask else []
        if file.subset.settings.alpha_mask and (alpha := open_alpha(file.path)):
            masks.append(alpha)
        placed = [place_mask(mask, self.placement_of(image), crop=crop, flip=flip) for mask in masks]
        return torch.stack(placed).prod(dim=0) if placed else None

    def placement_of(self, image: int) -> Placement:
        """Return how a picture gets into its bucket."""
        return self.plan.placements[image]

    def latent_keys(self, image: int) -> tuple[LatentKey, ...]:
        """List the latents that batches can ask for of one picture."""
        directions = (False, True) if self._settings_of(image).flip_aug else (False,)
        return tuple(
            LatentKey(image, crop, flipped)
            for crop in range(self._num_crops(image))
            for flipped in directions
        )

    def cached_crop(self, key: LatentKey) -> Offset:
        """Return left and top edge of a cached crop within the scaled picture; a function of the seed."""
        placement = self.placement_of(key.image)
        if not self._settings_of(key.image).random_crop:
            return placement.crop
        return _random_crop(placement, rng_for(self.seed, "cached crop", key.image, key.crop))

    def all_captions(self) -> set[str] | None:
        """Return every caption that can occur, "" too if they can be dropped.

        None if captions vary and ``use_caption_variants`` sets no bound.
        """
        settings = [image.subset.settings for image in self.images]
        if self._draws.variants is None and any(map(captions_vary, settings)):
            return None
        captions = {
            caption for index, image in enumerate(self.images) for caption in self._draws.all_of(index, image)
        }
        return captions | {""} if any(map(captions_drop, settings)) else captions

    def _make_order(self, epoch: int) -> tuple[tuple[int, ...], ...]:
        return epoch_order(self._groups, seed=self.seed, epoch=epoch)

    def _settings_of(self, image: int) -> SubsetSettings:
        return self.images[image].subset.settings

    def _num_crops(self, image: int) -> int:
        """Count the crops among cached latents; a picture that fits its bucket has only one."""
        settings, placement = self._settings_of(image), self.placement_of(image)
        fits = placement.resized == (placement.bucket.width, placement.bucket.height)
        return settings.latent_cache_crops if settings.random_crop and not fits else 1

    def _crop_number(self, showing: Showing) -> int:
        count = self._num_crops(showing.image)
        return showing.rng(self.seed, "crop number").randrange(count) if count > 1 else 0

    def _is_flipped(self, showing: Showing) -> bool:
        if not self._settings_of(showing.image).flip_aug:
            return False
        return showing.rng(self.seed, "flip").random() < FLIP_PROBABILITY

    def _crop(self, showing: Showing) -> Offset:
        placement = self.placement_of(showing.image)
        if not self._settings_of(showing.image).random_crop:
            return placement.crop
        return _random_crop(placement, showing.rng(self.seed, "crop"))

    def _sizes(self, image: int, *, flip: bool) -> tuple[int, int, int, int, int, int]:
        """Return a row of ``Batch.sizes``; as in sd-scripts, the crop is always the middle's."""
        size, bucket = self.images[image].size, self.placement_of(image).bucket
        left, top = crop_conditioning(size, bucket, flip=flip)
        return size[1], size[0], top, left, bucket.height, bucket.width

    def _masks(
        self, images: Sequence[int], crops: Sequence[Offset], flipped: Sequence[bool]
    ) -> Tensor | None:
        """Read the masks of a batch; pictures without one learn everywhere."""
        found = [
            self.mask_of(image, crop=crop, flip=flip)
            for image, crop, flip in zip(images, crops, flipped, strict=True)
        ]
        whole = next((torch.ones_like(mask) for mask in found if mask is not None), None)
        return None if whole is None else torch.stack([whole if mask is None else mask for mask in found])


def _random_crop(placement: Placement, rng: random.Random) -> Offset:
    """Draw left and top edge; every place within the scaled picture is as likely."""
    spare_width = placement.resized[0] - placement.bucket.width
    spare_height = placement.resized[1] - placement.bucket.height
    return rng.randint(0, spare_width), rng.randint(0, spare_height)
