"""Encode once what is the same at every showing: pictures and captions, for this run or, on disk, for all."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import torch
from torch import Tensor

from lora_widgets.config.phases import CAPTIONS, PICTURES
from lora_widgets.data.cache_folder import cache_folder
from lora_widgets.data.cache_layout import T5_STORES, TEXT_STORES
from lora_widgets.data.dataset import Dataset, LatentKey
from lora_widgets.data.latent_cache import LatentCache
from lora_widgets.data.tensor_store import DiskStore, MemoryStore, Missing
from lora_widgets.events import Event, Notice, PhaseProgress
from lora_widgets.families.autoencoder import Autoencoder
from lora_widgets.families.family import TextEmbedding
from lora_widgets.families.t5_text import T5
from lora_widgets.training.control import Control
from lora_widgets.training.known_parts import PartOnDemand
from lora_widgets.training.plan import Plan
from lora_widgets.training.precision import VAE_OVERFLOWS, Precision
from lora_widgets.training.randomness import generator_for
from lora_widgets.training.text import CachedText, LiveText

KNOWN_PICTURES, KNOWN_CAPTIONS = "Looking up cached pictures", "Looking up cached captions"

# Latents on disk serve runs with any seed, so the noise in them cannot depend on it.
_NOISE_SEED = 0
# Every eighth pixel of each row and column: enough to tell pictures apart.
_SPARSE = slice(None, None, 8)
_TEXT_SETTINGS = ("clip_layers_skipped", "max_token_length", "weighted_captions")

Cache = TypeVar("Cache")
Key = TypeVar("Key")
Result = TypeVar("Result")


def cache_latents(
    plan: Plan, dataset: Dataset, vae: PartOnDemand, precision: Precision, control: Control
) -> Generator[Event, None, LatentCache]:
    """Encode what is not cached yet, with progress; return the latents of a data set.

    ``vae`` is loaded if something has to be encoded.

    Raises:
        Stopped: the user asked for it meanwhile; what was encoded on disk stays.
        LoraWidgetsError: a picture cannot be encoded, or the cache folder cannot be written.
    """
    config, encoder = plan.config, PictureEncoder(plan.family.vae, precision)

    def on_disk(fingerprint: str) -> LatentCache:
        return LatentCache.on_disk(dataset, cache_folder(config.cache_dir), encoder=fingerprint)

    def look_up(cache: LatentCache) -> Generator[Event, None, Missing[LatentKey]]:
        return _reported(KNOWN_PICTURES, cache.look_up(), control)

    if config.cache_latents_to_disk:
        cache, missing = yield from _found_on_disk(vae, on_disk, look_up)
    else:
        yield from vae.load()
        cache = LatentCache.in_memory(dataset)
        missing = yield from look_up(cache)
    if not vae.is_loaded:
        yield Notice("info", "All latents found in the cache, so the VAE is not loaded.")
    yield from _damage("pictures", missing.damaged)
    work = cache.fill(missing.keys, encoder, batch_size=config.vae_batch_size)
    told = False
    for event in _reported(PICTURES, work, control):
        yield event
        if encoder.fell_back and not told:
            told = True
            yield VAE_OVERFLOWS
    return cache


@dataclass(frozen=True)
class TextWork:
    """What of captions is encoded once: how, with which part of the base model, and what that part is called.

    ``folder`` is where it is kept below the cache folder, by the fingerprint of the part.
    """

    encode: Callable[[Sequence[str]], TextEmbedding]
    part: PartOnDemand
    called: str
    folder: Callable[[str], Path]


def all_text(plan: Plan, precision: Precision, encode: LiveText, part: PartOnDemand) -> TextWork:
    """Return the work of all text encoders, which is apart on disk by all that decides it."""
    settings = [(name, getattr(plan.config, name)) for name in _TEXT_SETTINGS]

    def folder(fingerprint: str) -> Path:
        decides = (fingerprint, str(precision.autocast), settings)
        return Path(TEXT_STORES) / blake2b(repr(decides).encode(), digest_size=16).hexdigest()

    return TextWork(encode.frozen, part, "text encoder", folder)


def text_of_t5(t5: T5, part: PartOnDemand) -> TextWork:
    """Return the work of T5 alone."""
    return TextWork(t5, part, "T5", lambda fingerprint: Path(T5_STORES) / fingerprint)


def cache_text(
    plan: Plan, dataset: Dataset, work: TextWork, precision: Precision, control: Control
) -> Generator[Event, None, CachedText]:
    """Encode all captions that can occur and those of the samples, with progress; return them.

    Its part is loaded if something has to be encoded.

    Raises:
        Stopped: the user asked for it meanwhile; what was encoded on disk stays.
        CacheError: the cache folder cannot be written.
    """
    config = plan.config
    dataset.use_caption_variants(config.text_cache_variants)
    captions = dataset.all_captions()
    assert captions is not None  # variants have bounds
    prompts = {text for prompt in plan.prompts for text in (prompt.text, prompt.negative)}

    def on_disk(fingerprint: str) -> CachedText:
        store = DiskStore(cache_folder(config.cache_dir) / work.folder(fingerprint))
        return CachedText(store, precision.device)

    def look_up(cached: CachedText) -> Generator[Event, None, Missing[str]]:
        return _reported(KNOWN_CAPTIONS, cached.look_up(sorted(captions | prompts)), control)

    if config.cache_text_encoder_outputs_to_disk:
        cached, missing = yield from _found_on_disk(work.part, on_disk, look_up)
    else:
        yield from work.part.load()
        cached = CachedText(MemoryStore(), precision.device)
        missing = yield from look_up(cached)
    if not work.part.is_loaded:
        yield Notice("info", f"All captions found in the cache, so no {work.called} is loaded.")
    yield from _damage("captions", missing.damaged)
    filling = cached.fill(missing.keys, work.encode, batch_size=config.text_encoder_batch_size)
    yield from _reported(CAPTIONS, filling, control)
    return cached


class PictureEncoder:
    """Encodes pictures for a cache; from the first latents on that are not finite, in float32."""

    def __init__(self, vae: Autoencoder, precision: Precision) -> None:
        self._vae, self._device = vae, precision.device
        self.fell_back = False

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return latents (B, C, h, w) of pixels (B, 3, H, W); a function of each picture alone."""
        latents = self._encode(pixels)
        if not torch.isfinite(latents).all() and self._vae.use_float32():
            self.fell_back = True
            latents = self._encode(pixels)
        return latents

    def _encode(self, pixels: Tensor) -> Tensor:
        sparse = pixels[..., _SPARSE, _SPARSE].contiguous()
        checksums = [crc32(picture.numpy().data) for picture in sparse]
        generators = [generator_for(_NOISE_SEED, "latents", checksum) for checksum in checksums]
        return self._vae.encode(pixels.to(self._device), generator=generators)


def encode_pixels(plan: Plan, pixels: Tensor, precision: Precision, generator: torch.Generator) -> Tensor:
    """Return latents of pixels on the training device, a few pictures at a time (``vae_batch_size``)."""
    vae, at_once = plan.family.vae, plan.config.vae_batch_size
    parts = pixels.to(precision.device).split(at_once)
    return torch.cat([vae.encode(part, generator=generator) for part in parts])


def _found_on_disk(
    part: PartOnDemand,
    on_disk: Callable[[str], Cache],
    look_up: Callable[[Cache], Generator[Event, None, Missing[Key]]],
) -> Generator[Event, None, tuple[Cache, Missing[Key]]]:
    """Return the cache of what a part encodes and what is missing there; where nothing is, it is not loaded.

    A part that is loaded is asked for its fingerprint again, so what was remembered cannot mislead.
    """
    expected, opened = part.expected(), None
    if expected is not None:
        cache = on_disk(expected)
        missing = yield from look_up(cache)
        if not missing.keys:
            yield from part.pass_over()
            return cache, missing
        opened = cache, missing
    yield from part.load()
    fingerprint = part.fingerprint()
    if opened is not None and fingerprint == expected:
        return opened
    cache = on_disk(fingerprint)
    return cache, (yield from look_up(cache))


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
