"""Variations of the Gaussian noise that training adds.

Every function takes noise of shape (B, C, h, w) and returns a new tensor of that shape, dtype and device.
What it draws comes from ``generator``, on the generator's device, so the result does not depend on where
training runs.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional


def offset_noise(
    noise: Tensor, latents: Tensor, *, offset: float, adaptive_scale: float, generator: torch.Generator
) -> Tensor:
    """Shift every channel by a random constant, so that the model learns overall brightness.

    The constant's deviation is ``offset + adaptive_scale * |mean of the channel of latents|``, never below 0.
    Guttenberg 2023, "Diffusion with offset noise"; kohya's ``apply_noise_offset``.
    """
    strength = (offset + adaptive_scale * latents.mean(dim=(2, 3), keepdim=True).abs()).clamp(min=0)
    return noise + strength.to(noise) * _randn((*noise.shape[:2], 1, 1), generator, like=noise)


def multires_noise(noise: Tensor, *, iterations: int, discount: float, generator: torch.Generator) -> Tensor:
    """Add noise of coarser and coarser resolutions, then return to unit variance.

    Each level is 2 to 4 times coarser than the power before it and ``discount`` times weaker.
    Whitaker 2023, "Multi-resolution noise"; kohya's ``pyramid_noise_like``.
    """
    ratios = torch.rand(iterations, generator=generator, device=generator.device) * 2 + 2
    return pyramid_noise(noise, ratios.tolist(), discount=discount, generator=generator)


def pyramid_noise(
    noise: Tensor, ratios: Sequence[float], *, discount: float, generator: torch.Generator
) -> Tensor:
    """Add a level of noise per ratio, ratio**level times coarser, until a side is 1 px; unit variance."""
    height, width = noise.shape[2:]
    total = noise.clone()
    for level, (rows, columns) in enumerate(_level_sizes(height, width, ratios)):
        drawn = _randn((*noise.shape[:2], rows, columns), generator, like=noise)
        total += functional.interpolate(drawn, size=(height, width), mode="bilinear") * discount**level
    return total / total.std()


def perturbed(noise: Tensor, *, gamma: float, generator: torch.Generator) -> Tensor:
    """Return the noise to mix with, e + gamma * e'; e stays the target. Ning et al., arXiv:2301.11706."""
    return noise + gamma * _randn(tuple(noise.shape), generator, like=noise)


def random_strength(most: float, generator: torch.Generator) -> float:
    """Draw a strength for one batch, uniformly from 0 to ``most``."""
    return torch.rand(1, generator=generator, device=generator.device).item() * most


def _level_sizes(height: int, width: int, ratios: Iterable[float]) -> Iterable[tuple[int, int]]:
    for level, ratio in enumerate(ratios):
        rows, columns = max(1, int(height / ratio**level)), max(1, int(width / ratio**level))
        yield rows, columns
        if min(rows, columns) == 1:
            return


def _randn(shape: tuple[int, ...], generator: torch.Generator, *, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device).to(like)
