"""Rectified flow: a straight way from picture to noise (Liu et al. 2022, arXiv:2209.03003).

Its strengths of noise, sigma, go from 0 (the picture) to 1 (noise); the denoiser is given the time
1000 sigma. Esser et al. 2024, arXiv:2403.03206 (SD3), say how sigma is drawn and shifted; kohya's
``flux_train_utils`` and ``sd3_train_utils`` are what the numbers agree with.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from lora_widgets.diffusion.process import Prediction

NUM_TIMES = 1000
Sampling = Literal["uniform", "sigmoid", "shift", "flux_shift", "sigma"]
Scheme = Literal["uniform", "logit_normal", "mode", "cosmap", "sigma_sqrt"]
Output = Literal["raw", "additive", "sigma_scaled"]
Timetable = Callable[[int, torch.Size], Tensor]
"""From a number of steps and the shape of latents to the sigmas (steps,) at which pictures are drawn."""


class TimeSampler(Protocol):
    """A way to draw times for latents of ``shape``; (B,) float32 on the generator's device."""

    def __call__(self, shape: torch.Size, generator: torch.Generator, within: range) -> Tensor:
        """Draw (B,) times; see ``NoiseProcess.sample_times``."""
        ...


class FlowProcess:
    """Noising on a straight line: x_t = (1 - sigma) x + sigma e, with sigma = t/1000.

    ``sampler`` draws the times; ``weight_of`` gives the weight of the squared error of velocity from sigma.
    ``output`` says what the denoiser's output is taken for, see ``estimated_velocity``. Pictures are drawn at
    the sigmas of ``timetable``.
    """

    prediction: Prediction = "flow_prediction"

    def __init__(
        self,
        sampler: TimeSampler,
        *,
        weight_of: Callable[[Tensor], Tensor] | None,
        output: Output,
        timetable: Timetable,
        can_be_perturbed: bool,
    ) -> None:
        self._sampler, self._weight_of = sampler, weight_of
        self._output: Output = output
        self.timetable, self.can_be_perturbed = timetable, can_be_perturbed

    def sample_times(self, shape: torch.Size, generator: torch.Generator, *, within: range) -> Tensor:
        """Draw (B,) times as the sampler does."""
        return self._sampler(shape, generator, within)

    def mix(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return x_t = (1 - sigma) x + sigma e; Esser et al. 2024, eq. 13."""
        sigma = _sigmas_like(clean, times)
        return (1 - sigma) * clean + sigma * noise

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return the velocity e - x, the same at all times; Liu et al. 2022, eq. 1, towards noise."""
        return noise - clean

    def estimate(self, output: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """Return what is compared with the velocity."""
        return estimated_velocity(output, noisy, times, output_is=self._output)

    def snr(self, times: Tensor) -> Tensor:
        """Return ((1 - sigma)/sigma)^2, infinite at sigma 0."""
        sigma = times / NUM_TIMES
        return ((1 - sigma) / sigma).square()

    def weight(self, times: Tensor) -> Tensor | None:
        """Return the weight (B,) that belongs to the sigma of ``times``, or None where all are even."""
        return None if self._weight_of is None else self._weight_of(times / NUM_TIMES)


@dataclass(frozen=True)
class Density:
    """How often a place u in [0, 1] of the schedule is drawn; schemes that only weigh are even here."""

    scheme: Scheme
    logit_mean: float
    logit_std: float
    mode_scale: float

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw (count,) places, 1 being pure noise in ``SD3Times`` and the picture in Flux's table."""
        if self.scheme == "logit_normal":
            return logit_normal(count, mean=self.logit_mean, std=self.logit_std, generator=generator)
        even = _rand(count, generator)
        return with_mode(even, scale=self.mode_scale) if self.scheme == "mode" else even


@dataclass(frozen=True)
class FluxTimes:
    """Times as kohya's Flux trainer draws them; ``density`` acts with "sigma" only.

    No limit of times is kept, as there.
    """

    sampling: Sampling
    sigmoid_scale: float
    shift: float
    density: Density

    def __call__(self, shape: torch.Size, generator: torch.Generator, within: range) -> Tensor:
        """Draw (B,) times of latents (B, C, h, w)."""
        count = shape[0]
        if self.sampling == "uniform":
            return _rand(count, generator) * NUM_TIMES
        if self.sampling == "sigma":
            return table_sigmas(self.density.draw(count, generator), shift=self.shift) * NUM_TIMES
        sigmas = logit_normal(count, mean=0.0, std=self.sigmoid_scale, generator=generator)
        if self.sampling == "shift":
            sigmas = shifted(sigmas, self.shift)
        elif self.sampling == "flux_shift":
            sigmas = shifted(sigmas, resolution_shift(num_tokens(shape)))
        return sigmas * NUM_TIMES


@dataclass(frozen=True)
class SD3Times:
    """Whole times as kohya's SD3 trainer draws them: a shifted place in the times that may come."""

    shift: float
    density: Density

    def __call__(self, shape: torch.Size, generator: torch.Generator, within: range) -> Tensor:
        """Draw (B,) whole times of ``within``, as float32."""
        place = shifted(self.density.draw(shape[0], generator), self.shift)
        # The clamp is for a place of exactly 1, which rounding can give.
        return (within.start + place * len(within)).floor().clamp(max=max(within.stop - 1, within.start))


def logit_normal(count: int, *, mean: float, std: float, generator: torch.Generator) -> Tensor:
    """Draw (count,) numbers between 0 and 1 whose logit is normal; Esser et al. 2024, eq. 19."""
    drawn = torch.randn(count, generator=generator, device=generator.device)
    return torch.sigmoid(mean + std * drawn)


def with_mode(even: Tensor, *, scale: float) -> Tensor:
    """Move even numbers in [0, 1] towards the middle: 1 - u - s (cos^2(pi u/2) - 1 + u).

    Esser et al. 2024, eq. 20. Monotonic, so within [0, 1], for s from -1 to 2/(pi - 2).
    """
    return 1 - even - scale * ((math.pi / 2 * even).cos().square() - 1 + even)


def shifted(sigmas: Tensor, shift: float) -> Tensor:
    """Return s sigma/(1 + (s - 1) sigma), which is more noise for s above 1; Esser et al. 2024, eq. 23."""
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def num_tokens(shape: torch.Size) -> int:
    """Return how many patches of 2 by 2 make latents (B, C, h, w)."""
    return (shape[2] // 2) * (shape[3] // 2)


def resolution_shift(tokens: int) -> float:
    """Return Flux's own shift e^mu, mu rising in a line from 0.5 at 256 tokens to 1.15 at 4096.

    As in Black Forest Labs' ``flux.sampling.get_schedule``.
    """
    return math.exp(0.5 + (1.15 - 0.5) / (4096 - 256) * (tokens - 256))


def even_sigmas(steps: int) -> Tensor:
    """Return sigmas (steps,) from 1 in even steps, the last one step above 0; as diffusers' FluxPipeline."""
    return torch.linspace(1, 1 / steps, steps)


def sigmas_by_size(steps: int, shape: torch.Size) -> Tensor:
    """Return the sigmas (steps,) at which Flux dev draws latents of ``shape``: larger ones in more noise."""
    return shifted(even_sigmas(steps), resolution_shift(num_tokens(shape)))


def twice_shifted_sigmas(steps: int, shift: float) -> Tensor:
    """Return the sigmas (steps,) at which diffusers' SD3 pipeline draws.

    Its scheduler shifts the ends of the schedule first and then all between them again. In float64 as there,
    for denoisers can make much of the last bit of a time.
    """
    last = shifted(torch.tensor(1 / NUM_TIMES), shift).item()
    return shifted(torch.linspace(1, last, steps, dtype=torch.float64), shift).float()


def sigma_table(shift: float) -> Tensor:
    """Return the 1000 sigmas of the schedule (1000,), from 1 downwards, shifted."""
    return shifted(torch.arange(NUM_TIMES, 0, -1, dtype=torch.float32) / NUM_TIMES, shift)


def table_sigmas(places: Tensor, *, shift: float) -> Tensor:
    """Look places in [0, 1] up in the table of sigmas, 0 being pure noise; (B,) -> (B,)."""
    # "mode" gives exactly 1 for a draw of 0, where kohya reads past the end.
    index = (places * NUM_TIMES).long().clamp(max=NUM_TIMES - 1)
    return sigma_table(shift).to(places.device)[index]


def estimated_velocity(output: Tensor, noisy: Tensor, times: Tensor, *, output_is: Output) -> Tensor:
    """Return what kohya's Flux trainer takes for velocity: v, v + x_t, or x_t - sigma v.

    Only the first is what the models predict; the last is the clean picture. Matches
    ``flux_train_utils.apply_model_prediction_type``, whose target is the velocity with all three.
    """
    if output_is == "raw":
        return output
    if output_is == "additive":
        return output + noisy
    return noisy - _sigmas_like(output, times) * output


def scheme_weight(sigmas: Tensor, scheme: Scheme) -> Tensor:
    """Weight sigma^-2 for sigma_sqrt, 2/(pi (1 - 2 sigma + 2 sigma^2)) for cosmap, else 1; (B,) -> (B,).

    Esser et al. 2024, section 3.1; schemes that decide how often a sigma comes do not weigh it.
    """
    if scheme == "sigma_sqrt":
        return sigmas**-2
    if scheme == "cosmap":
        return 2 / (math.pi * (1 - 2 * sigmas + 2 * sigmas.square()))
    return torch.ones_like(sigmas)


def clean_weight(sigmas: Tensor, scheme: Scheme) -> Tensor:
    """Weight the squared error of velocity as kohya's SD3 trainer weights that of the clean latents.

    They are x = x_t - sigma v, so their error is sigma^2 times that of velocity; (B,) -> (B,).
    """
    # sigma_sqrt then is exactly 1; the product would be nan at sigma 0.
    if scheme == "sigma_sqrt":
        return torch.ones_like(sigmas)
    return sigmas.square() * scheme_weight(sigmas, scheme)


def _sigmas_like(latents: Tensor, times: Tensor) -> Tensor:
    sigmas = (times / NUM_TIMES).to(latents.device)
    return sigmas.view(-1, *[1] * (latents.ndim - 1)).to(latents.dtype)


def _rand(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator, device=generator.device)
