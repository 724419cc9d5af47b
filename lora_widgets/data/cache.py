"""Latents in memory: every picture encoded once, and once more mirrored where pictures are flipped."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lora_widgets.data.dataset import Dataset
from lora_widgets.data.order import chunks
from lora_widgets.data.prefetch import Prefetcher
from lora_widgets.errors import TrainingError

Key = tuple[int, bool]


class LatentCache:
    """Latents (C, h, w), float32 on the CPU, by (index of the picture, mirrored)."""

    def __init__(self) -> None:
        self._latents: dict[Key, Tensor] = {}

    def __getitem__(self, key: Key) -> Tensor:
        return self._latents[key]

    def __contains__(self, key: Key) -> bool:
        return key in self._latents

    def __len__(self) -> int:
        return len(self._latents)

    def fill(
        self, dataset: Dataset, encode: Callable[[Tensor], Tensor], *, batch_size: int
    ) -> Iterator[tuple[int, int]]:
        """Encode all pictures of a data set and yield (done, total) after each batch.

        ``encode``: pixels (B, 3, H, W) in [-1, 1] -> latents (B, C, h, w); it runs in this thread while the
        next pictures are opened in another. A mirrored picture is encoded for itself: mirrored latents are
        not the latents of the mirrored picture.

        Raises:
            TrainingError: latents are not finite; the text names the picture.
            DatasetError: a picture cannot be opened.
        """
        groups = _groups(dataset, batch_size)
        total = sum(len(group) for group in groups)
        done = 0
        yield done, total
        with Prefetcher(
            lambda at: _pixels(dataset, groups[at]), start=0, stop=len(groups), ahead=2
        ) as opened:
            for group, pixels in zip(groups, opened, strict=True):
                latents = encode(pixels).detach().to("cpu", torch.float32)
                self._keep(group, latents, paths=[dataset.images[image].path for image, _ in group])
                done += len(group)
                yield done, total

    def _keep(self, group: Sequence[Key], latents: Tensor, *, paths: Sequence[Path]) -> None:
        for key, latent, path in zip(group, latents, paths, strict=True):
            if not torch.isfinite(latent).all():
                raise TrainingError(
                    f"The VAE gives numbers that are not finite for {path.name}, so nothing could be learned "
                    "from it. Set `no_half_vae` to True: this VAE overflows in half precision."
                )
            self._latents[key] = latent.clone()


def _groups(dataset: Dataset, batch_size: int) -> list[tuple[Key, ...]]:
    """Split the pictures into batches of one bucket and one direction."""
    by_bucket = {bucket: [] for bucket in dataset.plan.buckets}
    for index, placement in enumerate(dataset.plan.placements):
        by_bucket[placement.bucket].append(index)
    may_flip = [image.subset.settings.flip_aug for image in dataset.images]
    return [
        tuple((index, flipped) for index in chunk)
        for indices in by_bucket.values()
        for flipped in (False, True)
        for chunk in chunks([index for index in indices if may_flip[index] or not flipped], batch_size)
    ]


def _pixels(dataset: Dataset, group: Sequence[Key]) -> Tensor:
    return torch.stack([dataset.pixels_of(index, crop=None, flip=flipped) for index, flipped in group])
