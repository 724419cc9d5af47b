"""Latents that are computed once: of each picture, each of its crops, and mirrored if wanted.

A latent is found by what it was made of: the content of the file, the size it was scaled to, what was cut out
and in which direction; the folder of the store says by which VAE. So nothing stale is ever found.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import torch
from torch import Tensor

from lora_widgets.data.cache_layout import HASHES, LATENT_STORES
from lora_widgets.data.dataset import Dataset, LatentKey
from lora_widgets.data.file_hashes import FileHashes
from lora_widgets.data.order import chunks
from lora_widgets.data.prefetch import Prefetcher
from lora_widgets.data.tensor_store import DiskStore, MemoryStore, Missing, TensorStore
from lora_widgets.errors import TrainingError

REPORT_EVERY = 16
_LATENTS = "latents"


class LatentCache:
    """Latents (C, h, w), float32 on the CPU, by picture, crop and direction.

    Those on disk are read when they are asked for, so memory does not grow with the number of pictures.
    ``found_some`` says that looking them up found some of an earlier run.

    Args:
        hashes: what is in the files; None where the cache ends with the run and file names are enough.
    """

    def __init__(self, dataset: Dataset, store: TensorStore, hashes: FileHashes | None) -> None:
        self._dataset, self._store, self._hashes = dataset, store, hashes
        self._contents: list[str | None] = [None] * len(dataset.images)
        self.found_some = False

    @classmethod
    def in_memory(cls, dataset: Dataset) -> "LatentCache":
        """Return an empty cache for this run."""
        return cls(dataset, MemoryStore(), None)

    @classmethod
    def on_disk(cls, dataset: Dataset, folder: Path, *, encoder: str) -> "LatentCache":
        """Return the cache in ``folder`` for the pictures of a data set.

        ``encoder`` tells the VAE, with its precision, from every other.
        """
        hashes = FileHashes(folder / HASHES, {image.path for image in dataset.images})
        return cls(dataset, DiskStore(folder / LATENT_STORES / encoder), hashes)

    def __getitem__(self, key: LatentKey) -> Tensor:
        return self._store.read(self._name(key))[_LATENTS]

    def look_up(self) -> Generator[tuple[int, int], None, Missing[LatentKey]]:
        """Find out what is missing; yields (done, total) pictures where files have to be read for that.

        Raises:
            DatasetError: a picture cannot be read.
        """
        count = len(self._dataset.images)
        missing, damaged = [], 0
        if self._store.is_empty:  # then files are read once only, while they are encoded
            keys = (key for image in range(count) for key in self._different_keys(image))
            return Missing(tuple(keys), damaged)
        try:
            for image in range(count):
                if image % REPORT_EVERY == 0:
                    yield image, count
                for key in self._different_keys(image):
                    state = self._store.state_of(self._name(key))
                    damaged += state == "damaged"
                    self.found_some |= state == "whole"
                    if state != "whole":
                        missing.append(key)
        finally:
            self._remember()
        yield count, count
        return Missing(tuple(missing), damaged)

    def fill(
        self, keys: Sequence[LatentKey], encode: Callable[[Tensor], Tensor], *, batch_size: int
    ) -> Generator[tuple[int, int], None, None]:
        """Encode what ``look_up`` found missing and yield (done, total) after each batch.

        ``encode``: pixels (B, 3, H, W) in [-1, 1] -> latents (B, C, h, w); it runs in this thread while the
        next pictures are opened in another. A mirrored picture is encoded for itself: mirrored latents are
        not the latents of the mirrored picture.

        Raises:
            TrainingError: latents are not finite; the text names the picture.
            DatasetError: a picture cannot be opened, or was changed meanwhile.
            CacheError: the disk is full, or the folder cannot be written.
        """
        yield 0, len(keys)
        if not keys:
            return
        groups, done = self._groups(keys, batch_size), 0
        try:
            with (
                self._store.writing(),
                Prefetcher(lambda at: self._pixels(groups[at]), start=0, stop=len(groups), ahead=2) as opened,
            ):
                for group, pixels in zip(groups, opened, strict=True):
                    latents = encode(pixels).detach().to("cpu", torch.float32)
                    for key, latent in zip(group, latents, strict=True):
                        self._keep(key, latent)
                    done += len(group)
                    yield done, len(keys)
        finally:
            self._remember()

    def _keep(self, key: LatentKey, latent: Tensor) -> None:
        if not torch.isfinite(latent).all():
            picture = self._dataset.images[key.image].path.name
            raise TrainingError(
                f"The VAE gives numbers that are not finite for {picture}, in full precision too, so "
                "nothing could be learned from it. Its weights seem to be damaged: download them again, or "
                "set `vae_path` to another VAE."
            )
        # A copy: a row would keep the whole batch alive.
        self._store.write(self._name(key), {_LATENTS: latent.clone()})

    def _groups(self, keys: Sequence[LatentKey], batch_size: int) -> list[tuple[LatentKey, ...]]:
        """Split into batches of one size and one direction."""
        alike: defaultdict[object, list[LatentKey]] = defaultdict(list)
        for key in keys:
            alike[self._dataset.placement_of(key.image).bucket, key.flipped].append(key)
        return [group for some in alike.values() for group in chunks(some, batch_size)]

    def _pixels(self, group: Sequence[LatentKey]) -> Tensor:
        pixels = []
        for key in group:
            self._content_of(key.image)  # before the picture is opened: a change in between is noticed
            crop = self._dataset.cached_crop(key)
            pixels.append(self._dataset.pixels_of(key.image, crop=crop, flip=key.flipped))
            if self._hashes:
                self._hashes.refuse_changed(self._dataset.images[key.image].path)
        return torch.stack(pixels)

    def _different_keys(self, image: int) -> Iterator[LatentKey]:
        """Yield the latents of a picture, of crops at the same place only one."""
        keys = {
            (self._dataset.cached_crop(key), key.flipped): key for key in self._dataset.latent_keys(image)
        }
        yield from keys.values()

    def _content_of(self, image: int) -> str:
        """Return what tells the content of a picture from others; within one run its index does."""
        content = self._contents[image]
        if content is None:
            content = self._hashes.of(self._dataset.images[image].path) if self._hashes else str(image)
            self._contents[image] = content
        return content

    def _remember(self) -> None:
        if self._hashes:
            self._hashes.save()

    def _name(self, key: LatentKey) -> str:
        """Name a latent by what it is made of: crops at the same place are the same latent."""
        placement, crop = self._dataset.placement_of(key.image), self._dataset.cached_crop(key)
        width, height = placement.bucket.width, placement.bucket.height
        made_of = (self._content_of(key.image), placement.resized, crop, (width, height), key.flipped)
        return blake2b(repr(made_of).encode(), digest_size=16).hexdigest()
