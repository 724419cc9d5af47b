"""Drawing sample pictures with what is being trained, without disturbing it."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from lora_widgets.adapters.adapter import Adapter
from lora_widgets.catalog.samplers import SAMPLERS
from lora_widgets.data.randomness import seed_for
from lora_widgets.errors import ConfigError
from lora_widgets.events import Event, Notice, PhaseProgress, SampleReady
from lora_widgets.families.family import Family, TextEmbedding
from lora_widgets.training.control import Control, Stopped
from lora_widgets.training.precision import VAE_OVERFLOWS, Precision
from lora_widgets.training.prompts import Prompt

PHASE = "Drawing samples"


@dataclass(frozen=True)
class Studio:
    """Everything needed to draw: the model's parts, where pictures go, and what they are called.

    ``notices`` are what drawing a picture has to say beside it; ``with_vae`` has the autoencoder in memory
    while pictures are drawn.
    """

    family: Family
    adapter: Adapter
    precision: Precision
    embed: Callable[[str], TextEmbedding]
    prompts: tuple[Prompt, ...]
    sampler: str
    seed: int
    folder: Path
    stem: str
    control: Control
    notices: list[Notice] = field(default_factory=list)
    with_vae: Callable[[], AbstractContextManager[None]] = nullcontext

    def draw_all(self, *, step: int, epoch: int, untouched: bool) -> Generator[Event, None, None]:
        """Draw every prompt; ``untouched`` leaves the adapter out, for the picture to compare with.

        A stop that is asked for meanwhile ends the drawing after the sampler's step in progress.
        """
        if self.prompts:
            with self.with_vae():
                yield from self._draw_all(step=step, epoch=epoch, untouched=untouched)

    def _draw_all(self, *, step: int, epoch: int, untouched: bool) -> Iterator[Event]:
        for index, prompt in enumerate(self.prompts):
            yield PhaseProgress(PHASE, index, len(self.prompts))
            seed = prompt.seed if prompt.seed is not None else seed_for(self.seed, "sample", index) % 2**32
            try:
                with self.adapter.disabled() if untouched else nullcontext():
                    picture = self.draw(prompt, seed=seed)
            except Stopped:
                return
            while self.notices:
                yield self.notices.pop(0)
            path = self._path(step, index, seed)
            picture.save(path)
            yield SampleReady(step, epoch, index, prompt.text, seed, str(path))
        yield PhaseProgress(PHASE, len(self.prompts), len(self.prompts))

    def draw(self, prompt: Prompt, *, seed: int) -> Image.Image:
        """Draw one picture; the same seed gives the same noise at every step of training."""
        self.adapter.mode(training=False)
        try:
            with torch.no_grad(), self.precision.computing():
                latents = self._sample(prompt, torch.Generator().manual_seed(seed))
                pixels = self._decoded(latents)
        finally:
            self.adapter.mode(training=True)
        return to_image(pixels[0])

    def _decoded(self, latents: Tensor) -> Tensor:
        pixels = self.family.decode(latents)
        if not torch.isfinite(pixels).all() and self.family.use_float32_vae():
            self.notices.append(VAE_OVERFLOWS)
            pixels = self.family.decode(latents)
        return pixels

    def _sample(self, prompt: Prompt, generator: torch.Generator) -> Tensor:
        """Return latents (1, C, h, w) of a prompt."""
        factor, device = self.family.latent_factor, self.precision.device
        shape = (1, self.family.latent_channels, prompt.height // factor, prompt.width // factor)
        scheduler = new_scheduler(prompt.sampler or self.sampler, self.family.process)
        scheduler.set_timesteps(prompt.steps)
        noise = torch.randn(shape, generator=generator).to(device)
        asked = self.embed(prompt.text).to(device)
        unasked = None if prompt.scale == 1.0 else self.embed(prompt.negative).to(device)
        guidance = Guidance(asked, unasked, prompt.scale)
        return sample_latents(
            self.family,
            scheduler,
            noise,
            guidance=guidance,
            generator=generator,
            between=self.control.leave_if_stopping,
        )

    def _path(self, step: int, index: int, seed: int) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%d%H%M%S")
        return self.folder / f"{self.stem}_{step:06d}_{index:02d}_{stamp}_{seed}.png"


@dataclass(frozen=True)
class Guidance:
    """What B pictures should show, what they should not (None: unguided), and how strongly."""

    asked: TextEmbedding
    unasked: TextEmbedding | None
    scale: float


def sample_latents(
    family: Family,
    scheduler: Any,
    noise: Tensor,
    *,
    guidance: Guidance,
    generator: torch.Generator,
    between: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return latents (B, C, h, w) drawn from ``noise`` of that shape by the scheduler's steps.

    Guidance is classifier-free (Ho and Salimans 2022, arXiv:2207.12598, eq. 6, scale = 1 + w). ``generator``
    is for schedulers whose steps add noise; ``between`` is called before each step and may raise to end it.
    """
    latents = noise * scheduler.init_noise_sigma
    unasked, extra = guidance.unasked, _extra(scheduler, generator)
    text = guidance.asked if unasked is None else TextEmbedding.cat([unasked, guidance.asked])
    sizes = whole_picture(noise.shape[2] * family.latent_factor, noise.shape[3] * family.latent_factor)
    for time_ in scheduler.timesteps:
        between()
        given = scheduler.scale_model_input(latents, time_)
        given = given if unasked is None else torch.cat([given, given])
        times = time_.to(noise.device).expand(len(given))
        estimate = family.predict(given, times, text, sizes.expand(len(given), -1)).float()
        if unasked is not None:
            without, asked = estimate.chunk(2)
            estimate = without + guidance.scale * (asked - without)
        latents = scheduler.step(estimate, time_, latents, **extra).prev_sample
    return latents


def whole_picture(height: int, width: int) -> Tensor:
    """Return the sizes (1, 6) of a picture that is drawn as large as it is, with nothing cut off."""
    return torch.tensor([[height, width, 0, 0, height, width]])


def new_scheduler(name: str, process: Any) -> Any:
    """Return a fresh diffusers scheduler for a sampler's name, over the betas training uses.

    A zero-terminal schedule is sampled from its very last time (Lin et al., arXiv:2305.08891, section 3.3).

    Raises:
        ConfigError: the sampler is unknown.
    """
    if name not in SAMPLERS:
        raise ConfigError(f"The sampler {name!r} is unknown. Choose one of: {', '.join(SAMPLERS)}.")
    row = SAMPLERS[name]
    module, _, cls = row.import_path.rpartition(".")
    scheduler = getattr(import_module(module), cls)
    arguments = dict(row.arguments)
    if process.alphas_cumprod[-1] == 0 and "timestep_spacing" in signature(scheduler).parameters:
        arguments["timestep_spacing"] = "trailing"
    return scheduler(
        trained_betas=_samplable(process).tolist(), prediction_type=process.prediction, **arguments
    )


def _samplable(process: Any) -> Tensor:
    """Return the betas (T,), with a last trace of signal left where training has none.

    Most samplers divide by the signal. diffusers leaves the same trace where it rescales betas itself.
    """
    betas: Tensor = process.betas
    if process.alphas_cumprod[-1] > 0:
        return betas
    return torch.cat([betas[:-1], 1 - 2**-24 / process.alphas_cumprod[-2:-1]])


def to_image(pixels: Tensor) -> Image.Image:
    """Return a picture of pixels (3, H, W) in [-1, 1]."""
    levels = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())


def _extra(scheduler: Any, generator: torch.Generator) -> dict[str, Any]:
    """Return the generator for schedulers whose steps add noise."""
    return {"generator": generator} if "generator" in signature(scheduler.step).parameters else {}
