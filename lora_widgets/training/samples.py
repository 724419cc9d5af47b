"""Drawing sample pictures with what is being trained, without disturbing it."""

import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from lora_widgets.adapters.adapter import Adapter
from lora_widgets.catalog.samplers import SAMPLERS
from lora_widgets.config.phases import SAMPLES
from lora_widgets.config.prompts import Prompt
from lora_widgets.data.randomness import seed_for
from lora_widgets.errors import ConfigError
from lora_widgets.events import Event, Notice, PhaseProgress, SampleReady
from lora_widgets.families.family import Family, TextEmbedding
from lora_widgets.families.in_memory import free_memory
from lora_widgets.training.control import Control, Stopped
from lora_widgets.training.out_of_memory import is_out_of_memory
from lora_widgets.training.precision import VAE_OVERFLOWS, Precision
from lora_widgets.training.sample_files import Drawn, write_sample

_FAILURES = (RuntimeError, ValueError, IndexError, MemoryError, OSError)
"""What libraries raise where a picture is too large, a sampler has too few steps, or the disk is full."""
_SHOWN_LENGTH = 60
_VAE_DAMAGED = (
    "the VAE gives numbers that are not finite, in full precision too. Its weights seem to be damaged: "
    "download them again, or set `vae_path` to another VAE"
)
_NO_ROOM = Notice(
    "warning",
    "The samples were not drawn: memory ran out while the VAE was loaded for them, beside what is trained. "
    "The training goes on without them. For room, set `base_weights` to fp8 or nf4.",
)


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

        A stop that is asked for meanwhile ends the drawing after the sampler's step in progress. A picture
        that cannot be drawn or written costs only itself, and a notice names it.
        """
        if not self.prompts:
            return
        with ExitStack() as stack:
            if self._has_room_for_vae(stack):
                yield from self._draw_all(step=step, epoch=epoch, untouched=untouched)
                return
        free_memory()
        yield _NO_ROOM

    def _has_room_for_vae(self, stack: ExitStack) -> bool:
        """Have the autoencoder in memory until ``stack`` ends; False where it finds no room."""
        try:
            stack.enter_context(self.with_vae())
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True

    def _draw_all(self, *, step: int, epoch: int, untouched: bool) -> Iterator[Event]:
        for index, prompt in enumerate(self.prompts):
            yield PhaseProgress(SAMPLES, index, len(self.prompts))
            began = time.perf_counter()
            seed = prompt.seed if prompt.seed is not None else seed_for(self.seed, "sample", index) % 2**32
            drawn = Drawn(prompt, prompt.sampler or self.sampler, seed, self.stem, step)
            try:
                with self.adapter.disabled() if untouched else nullcontext():
                    picture = self.draw(prompt, seed=seed)
                path = write_sample(picture, self.folder, drawn, index=index)
            except Stopped:
                return
            except _FAILURES as error:
                self.notices.append(_not_drawn(index, prompt, error))
                path = None
            while self.notices:
                yield self.notices.pop(0)
            if path is None:
                free_memory()  # outside of the except clause, whose error holds what was computed so far
                continue
            seconds = time.perf_counter() - began
            yield SampleReady(step, epoch, index, prompt.text, seed, str(path), seconds)
        yield PhaseProgress(SAMPLES, len(self.prompts), len(self.prompts))

    def draw(self, prompt: Prompt, *, seed: int) -> Image.Image:
        """Draw one picture; the same seed gives the same noise at every step of training.

        Raises:
            ValueError: the denoiser or the autoencoder gives numbers that are not finite.
        """
        self.adapter.mode(training=False)
        try:
            with torch.no_grad(), self.precision.computing():
                latents = self._sample(prompt, torch.Generator().manual_seed(seed))
                if not torch.isfinite(latents).all():
                    raise ValueError(_denoiser_overflows(self.precision))
                pixels = self._decoded(latents)
        finally:
            self.adapter.mode(training=True)
        return to_image(pixels[0])

    def _decoded(self, latents: Tensor) -> Tensor:
        pixels = self.family.vae.decode(latents)
        if not torch.isfinite(pixels).all() and self.family.vae.use_float32():
            self.notices.append(VAE_OVERFLOWS)
            pixels = self.family.vae.decode(latents)
        if not torch.isfinite(pixels).all():
            raise ValueError(_VAE_DAMAGED)
        return pixels

    def _sample(self, prompt: Prompt, generator: torch.Generator) -> Tensor:
        """Return latents (1, C, h, w) of a prompt."""
        scheduler = ready_scheduler(prompt, self.family, default=self.sampler)
        noise = torch.randn(latent_shape(prompt, self.family), generator=generator)
        noise = noise.to(self.precision.device)
        asked = self._embedded(prompt.text, prompt.guidance)
        unasked = self._embedded(prompt.negative, prompt.guidance) if prompt.is_guided else None
        guidance = Guidance(asked, unasked, prompt.scale)
        return sample_latents(
            self.family,
            scheduler,
            noise,
            guidance=guidance,
            generator=generator,
            between=self.control.leave_if_stopping,
        )

    def _embedded(self, text: str, guidance: float | None) -> TextEmbedding:
        embedding = self.embed(text).to(self.precision.device)
        if guidance is None:
            return embedding
        return replace(embedding, guidance=torch.full((1,), guidance, device=self.precision.device))


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
    latents = noise * getattr(scheduler, "init_noise_sigma", 1.0)
    unasked, extra = guidance.unasked, _extra(scheduler, generator)
    text = guidance.asked if unasked is None else TextEmbedding.cat([unasked, guidance.asked])
    factor = family.vae.latent_factor
    sizes = whole_picture(noise.shape[2] * factor, noise.shape[3] * factor)
    for time_ in scheduler.timesteps:
        between()
        given = _scaled(scheduler, latents, time_)
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


def latent_shape(prompt: Prompt, family: Family) -> torch.Size:
    """Return the shape of a prompt's latents (1, C, h, w)."""
    factor = family.vae.latent_factor
    return torch.Size([1, family.vae.latent_channels, prompt.height // factor, prompt.width // factor])


def ready_scheduler(prompt: Prompt, family: Family, *, default: str) -> Any:
    """Return the scheduler that draws a prompt, set to its times; ``default`` is the sampler of the settings.

    Flow matching is always sampled with Euler's method, at times that can depend on the size.

    Raises:
        ConfigError: the sampler is unknown.
    """
    process: Any = family.process
    if process.prediction == "flow_prediction":
        return flow_scheduler(process.timetable(prompt.steps, latent_shape(prompt, family)))
    scheduler = new_scheduler(prompt.sampler or default, process)
    scheduler.set_timesteps(prompt.steps)
    return scheduler


def flow_scheduler(sigmas: Tensor) -> Any:
    """Return diffusers' Euler sampler of flow matching, set to ``sigmas`` (steps,)."""
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)  # the sigmas are shifted already
    scheduler.set_timesteps(sigmas=sigmas.tolist())
    return scheduler


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # diffusers would rather have dpmsolver++
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


def _denoiser_overflows(precision: Precision) -> str:
    what = "the base model gives numbers that are not finite, and the picture would be black"
    if precision.autocast is torch.float16:
        return f'{what}. It overflows in fp16: set `mixed_precision` to "bf16" or "no"'
    return f"{what}. Its weights seem to be damaged, or what was learned is: lower `unet_lr`"


def _not_drawn(index: int, prompt: Prompt, error: Exception) -> Notice:
    what = f"Sample {index + 1}, {prompt.text[:_SHOWN_LENGTH]!r}"
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error).strip()
    if is_out_of_memory(error):
        size = f"{prompt.width} x {prompt.height} pixels"
        remedy = "Draw it smaller, with --w and --h in `sample_prompts`."
        return Notice("warning", f"{what}, was not drawn: memory ran out at {size}. {remedy}")
    first_line = reason.partition("\n")[0].rstrip(".") or type(error).__name__
    return Notice("warning", f"{what}, was not drawn: {first_line}. The training goes on without it.")


def to_image(pixels: Tensor) -> Image.Image:
    """Return a picture of pixels (3, H, W) in [-1, 1]."""
    levels = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())


def _scaled(scheduler: Any, latents: Tensor, time_: Tensor) -> Tensor:
    """Return what the denoiser is given of latents; diffusers' sampler of flow matching changes nothing."""
    if not hasattr(scheduler, "scale_model_input"):
        return latents
    return scheduler.scale_model_input(latents, time_)


def _extra(scheduler: Any, generator: torch.Generator) -> dict[str, Any]:
    """Return the generator for schedulers whose steps add noise."""
    return {"generator": generator} if "generator" in signature(scheduler.step).parameters else {}
