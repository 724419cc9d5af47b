"""The loss of one batch: where settings meet the maths of `diffusion`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lora_widgets.config.noise import NoiseAndLoss
from lora_widgets.data.dataset import Batch
from lora_widgets.diffusion.noise import multires_noise, offset_noise, perturbed, random_strength
from lora_widgets.diffusion.process import NoiseProcess, Prediction
from lora_widgets.diffusion.weights import (
    debiased_weight,
    min_snr_weight,
    noise_like_weight,
    with_velocity_weight,
)


@dataclass(frozen=True)
class Draw:
    """What chance decides about a batch of latents: noise (B, C, h, w) to predict, to add, and times (B,)."""

    noise: Tensor
    added: Tensor
    times: Tensor


@dataclass(frozen=True, eq=False)
class Emphasis:
    """What counts more or less in a batch: pictures by ``weights`` (B,), places by ``masks`` (B, 1, H, W)."""

    weights: Tensor | None = None
    masks: Tensor | None = None


EVEN = Emphasis()
"""Everything counts the same."""


def emphasis_of(batch: Batch, *, prior_loss_weight: float) -> Emphasis:
    """Say what counts in a batch: regularisation pictures by their weight, masked places not at all."""
    if batch.masks is None and (prior_loss_weight == 1 or not any(batch.is_reg)):
        return EVEN
    weights = torch.tensor([prior_loss_weight if is_reg else 1.0 for is_reg in batch.is_reg])
    return Emphasis(weights, batch.masks)


def draw_noise(
    latents: Tensor, process: NoiseProcess, settings: NoiseAndLoss, *, generator: torch.Generator
) -> Draw:
    """Draw noise and times for a batch, in the reference's order: offset, multi-resolution, perturbation.

    Flow matching has plain noise, which only the perturbation changes.
    """
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    if process.prediction != "flow_prediction":
        noise = _shaped(noise, latents, settings, generator)
    times = process.sample_times(latents.shape, generator, within=settings.timesteps).to(latents.device)
    gamma = settings.ip_gamma
    if gamma is None or not process.can_be_perturbed:
        return Draw(noise, noise, times)
    if settings.ip_noise_gamma_random_strength:
        gamma = random_strength(gamma, generator)
    return Draw(noise, perturbed(noise, gamma=gamma, generator=generator), times)


def _shaped(noise: Tensor, latents: Tensor, settings: NoiseAndLoss, generator: torch.Generator) -> Tensor:
    if settings.noise_offset > 0:
        offset = settings.noise_offset
        if settings.noise_offset_random_strength:
            offset = random_strength(offset, generator)
        noise = offset_noise(
            noise,
            latents,
            offset=offset,
            adaptive_scale=settings.adaptive_noise_scale,
            generator=generator,
        )
    if settings.multires_iterations:
        noise = multires_noise(
            noise,
            iterations=settings.multires_iterations,
            discount=settings.multires_noise_discount,
            generator=generator,
        )
    return noise


def diffusion_loss(
    latents: Tensor,
    drawn: Draw,
    predict: Callable[[Tensor, Tensor], Tensor],
    *,
    process: NoiseProcess,
    settings: NoiseAndLoss,
    emphasis: Emphasis = EVEN,
) -> Tensor:
    """Return the mean over the batch of the weighted mean square error; a scalar.

    ``predict(noisy, times)`` is the denoiser. The error is taken in float32 and weighted in the reference's
    order: places, pictures, times.
    """
    noisy = process.mix(latents, drawn.added, drawn.times)
    prediction = process.estimate(predict(noisy, drawn.times).float(), noisy, drawn.times)
    target = process.target(latents, drawn.noise, drawn.times)
    weights = time_weights(drawn.times, process, settings)
    if weights is None and emphasis is EVEN:
        return functional.mse_loss(prediction, target)
    error = functional.mse_loss(prediction, target, reduction="none")
    if emphasis.masks is not None:
        error = error * masks_for(error, emphasis.masks)
    per_picture = error.mean(dim=(1, 2, 3))
    if emphasis.weights is not None:
        per_picture = per_picture * emphasis.weights.to(per_picture)
    if weights is not None:
        per_picture = per_picture * weights
    return per_picture.mean()


def time_weights(times: Tensor, process: NoiseProcess, settings: NoiseAndLoss) -> Tensor | None:
    """Return the weights (B,) of pictures by their times (B,), or None where all times count the same.

    What is switched on multiplies, in the reference's order (``post_process_loss``). Weights by
    signal-to-noise ratio are not for flow matching, which has a weight of its own.
    """
    if process.prediction == "flow_prediction":
        return process.weight(times)
    weights = [*_snr_weights(process.snr(times), settings, prediction=process.prediction)]
    return torch.stack(weights).prod(0) if weights else None


def _snr_weights(snr: Tensor, settings: NoiseAndLoss, *, prediction: Prediction) -> Iterator[Tensor]:
    if settings.snr_gamma is not None:
        yield min_snr_weight(snr, settings.snr_gamma, prediction=prediction)
    if settings.scale_v_pred_loss_like_noise_pred:
        yield noise_like_weight(snr)
    if settings.v_pred_like_loss > 0:
        yield with_velocity_weight(snr, settings.v_pred_like_loss)
    if settings.debiased_estimation_loss:
        yield debiased_weight(snr, prediction=prediction)


def masks_for(latents: Tensor, masks: Tensor) -> Tensor:
    """Scale masks (B, 1, H, W) in pixels to the size of latents (B, C, h, w), by area -> (B, 1, h, w).

    As sd-scripts (apply_masked_loss); it makes up for nothing, so that a small mask means a small loss.
    """
    return functional.interpolate(masks.to(latents), size=latents.shape[2:], mode="area")
