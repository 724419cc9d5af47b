"""The loss of one batch: where settings meet the maths of `diffusion`."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lora_widgets.config.noise import NoiseAndLoss
from lora_widgets.data.dataset import Batch
from lora_widgets.diffusion.noise import multires_noise, offset_noise, perturbed
from lora_widgets.diffusion.process import NoiseProcess
from lora_widgets.diffusion.weights import min_snr_weight


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
    """Draw noise and times for a batch, in the reference's order: offset, multi-resolution, perturbation."""
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    if settings.noise_offset > 0:
        noise = offset_noise(
            noise,
            latents,
            offset=settings.noise_offset,
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
    times = process.sample_times(latents.shape[0], generator).to(latents.device)
    gamma = settings.ip_gamma
    return Draw(noise, noise if gamma is None else perturbed(noise, gamma=gamma, generator=generator), times)


def diffusion_loss(
    latents: Tensor,
    drawn: Draw,
    predict: Callable[[Tensor, Tensor], Tensor],
    *,
    process: NoiseProcess,
    snr_gamma: float | None,
    emphasis: Emphasis = EVEN,
) -> Tensor:
    """Return the mean over the batch of the weighted mean square error; a scalar.

    ``predict(noisy, times)`` is the denoiser. The error is taken in float32. ``snr_gamma`` weights as Min-SNR
    (Hang et al. 2023, arXiv:2303.09556), None not at all.
    """
    noisy = process.mix(latents, drawn.added, drawn.times)
    prediction = predict(noisy, drawn.times).float()
    target = process.target(latents, drawn.noise, drawn.times)
    if snr_gamma is None and emphasis is EVEN:
        return functional.mse_loss(prediction, target)
    error = functional.mse_loss(prediction, target, reduction="none")
    if emphasis.masks is not None:
        error = error * masks_for(error, emphasis.masks)
    per_picture = error.mean(dim=(1, 2, 3))
    if emphasis.weights is not None:
        per_picture = per_picture * emphasis.weights.to(per_picture)
    if snr_gamma is not None:
        weight = min_snr_weight(process.snr(drawn.times), snr_gamma, prediction=process.prediction)
        per_picture = per_picture * weight
    return per_picture.mean()


def masks_for(latents: Tensor, masks: Tensor) -> Tensor:
    """Scale masks (B, 1, H, W) in pixels to the size of latents (B, C, h, w), by area -> (B, 1, h, w).

    As sd-scripts (apply_masked_loss); it makes up for nothing, so that a small mask means a small loss.
    """
    return functional.interpolate(masks.to(latents), size=latents.shape[2:], mode="area")
