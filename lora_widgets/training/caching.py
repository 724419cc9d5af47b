"""Encode once what is the same at every showing: pictures and captions, for this run or, on disk, for all."""

from collections.abc import Generator, Iterator
from contextlib import closing
from hashlib import blake2b
from typing import TypeVar
from zlib import crc32

import torch
from torch import Tensor

from lora_widgets.data.cache_folder import cache_folder
from lora_widgets.data.dataset import Dataset
from lora_widgets.data.latent_cache import LatentCache
from lora_widgets.data.tensor_store import DiskStore, MemoryStore, TensorStore
from lora_widgets.events import Event, Notice, PhaseProgress
from lora_widgets.families.family import Family
from lora_widgets.training.control import Control
from lora_widgets.training.plan import Plan
from lora_widgets.training.precision import VAE_OVERFLOWS, Precision
from lora_widgets.training.randomness import generator_for
from lora_widgets.training.text import FORMAT, CachedText, LiveText

KNOWN_PICTURES, PICTURES = "Looking up cached pictures", "Encoding pictures"
KNOWN_CAPTIONS, CAPTIONS = "Looking up cached captions", "Encoding captions"

# Latents on disk serve runs with any seed, so the noise in them cannot depend on it.
_NOISE_SEED = 0
# Every eighth pixel of each row and column: enough to tell pictures apart.
_SPARSE = slice(None, None, 8)
_TEXT_SETTINGS = ("clip_layers_skipped", "max_token_length", "weighted_captions")

Result = TypeVar("Result")


def cache_latents(
    plan: Plan, dataset: Dataset, precision: Precision, control: Control
) -> Generator[Event, None, LatentCache]:
    """Encode what is not cached yet, with progress; return the latents of a data set.

    Raises:
        Stopped: the user asked for it meanwhile; what was encoded on disk stays.
        LoraWidgetsError: a picture cannot be encoded, or the cache folder cannot be written.
    """
    config, encoder = plan.config, PictureEncoder(plan.family, precision)
    cache = LatentCache.in_memory(dataset)
    if config.cache_latents_to_disk:
        folder = cache_folder(config.cache_dir)
        cache = LatentCache.on_disk(dataset, folder, encoder=plan.family.fingerprint("vae"))
    missing = yield from _reported(KNOWN_PICTURES, cache.look_up(), control)
    yield from _damage("pictures", missing.damaged)
    work = cache.fill(missing.keys, encoder, batch_size=config.vae_batch_size)
    told = False
    for event in _reported(PICTURES, work, control):
        yield event
        if encoder.fell_back and not told:
            told = True
            yield VAE_OVERFLOWS
    return cache


def cache_text(
    plan: Plan, dataset: Dataset, live: LiveText, precision: Precision, control: Control
) -> Generator[Event, None, CachedText]:
    """Encode all captions that can occur and those of the samples, with progress; return them.

    Raises:
        Stopped: the user asked for it meanwhile; what was encoded on disk stays.
        CacheError: the cache folder cannot be written.
    """
    dataset.use_caption_variants(plan.config.text_cache_variants)
    captions = dataset.all_captions()
    assert captions is not None  # variants have bounds
    prompts = {text for prompt in plan.prompts for text in (prompt.text, prompt.negative)}
    cached = CachedText(_text_store(plan, precision), precision.device)
    missing = yield from _reported(KNOWN_CAPTIONS, cached.look_up(sorted(captions | prompts)), control)
    yield from _damage("captions", missing.damaged)
    work = cached.fill(missing.keys, live, batch_size=plan.config.text_encoder_batch_size)
    yield from _reported(CAPTIONS, work, control)
    return cached


class PictureEncoder:
    """Encodes pictures for a cache; from the first latents on that are not finite, in float32."""

    def __init__(self, family: Family, precision: Precision) -> None:
        self._family, self._device = family, precision.device
        self.fell_back = False

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return latents (B, C, h, w) of pixels (B, 3, H, W); a function of each picture alone."""
        latents = self._encode(pixels)
        if not torch.isfinite(latents).all() and self._family.use_float32_vae():
            self.fell_back = True
            latents = self._encode(pixels)
        return latents

    def _encode(self, pixels: Tensor) -> Tensor:
        sparse = pixels[..., _SPARSE, _SPARSE].contiguous()
        checksums = [crc32(picture.numpy().data) for picture in sparse]
        generators = [generator_for(_NOISE_SEED, "latents", checksum) for checksum in checksums]
        return self._family.encode_images(pixels.to(self._device), generator=generators)


def encode_pixels(plan: Plan, pixels: Tensor, precision: Precision, generator: torch.Generator) -> Tensor:
    """Return latents of pixels on the training device, a few pictures at a time (``vae_batch_size``)."""
    family, at_once = plan.family, plan.config.vae_batch_size
    parts = pixels.to(precision.device).split(at_once)
    return torch.cat([family.encode_images(part, generator=generator) for part in parts])


def _text_store(plan: Plan, precision: Precision) -> TensorStore:
    """Return where captions are kept: on disk, apart by all that decides how they are encoded."""
    config = plan.config
    if not config.cache_text_encoder_outputs_to_disk:
        return MemoryStore()
    decides = (
        plan.family.fingerprint("text_encoder"),
        str(precision.autocast),
        [(name, getattr(config, name)) for name in _TEXT_SETTINGS],
    )
    encoder = blake2b(repr(decides).encode(), digest_size=16).hexdigest()
    return DiskStore(cache_folder(config.cache_dir) / FORMAT / encoder)


def _reported(
    phase: str, work: Generator[tuple[int, int], None, Result], control: Control
) -> Generator[Event, None, Result]:
    """Do work and tell how far it is, unless the user asks to stop."""
    with closing(work):
        while True:
            try:
                done, total = next(work)
            except StopIteration as end:
                return end.value
            control.leave_if_stopping()
            yield PhaseProgress(phase, done, total)


def _damage(what: str, count: int) -> Iterator[Event]:
    if count:
        yield Notice("warning", f"{count} cached {what} are damaged on disk, so they are encoded again.")
