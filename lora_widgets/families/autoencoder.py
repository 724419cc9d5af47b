"""Pictures to latents and back, with Stable Diffusion's autoencoder (Rombach et al., arXiv:2112.10752)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lora_widgets.families.parts import PartPlace

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL


def load_autoencoder(
    place: PartPlace, device: torch.device | str, dtype: torch.dtype, *, in_tiles: bool
) -> "AutoencoderKL":
    """Load the autoencoder, frozen; ``in_tiles``: what is larger than it was made for goes tile by tile."""
    vae = place.load(device=device, dtype=dtype)
    vae.use_tiling = in_tiles
    return vae


@torch.no_grad()
def encode(
    vae: Any,
    pixels: Tensor,
    *,
    shift: float,
    scale: float,
    generator: torch.Generator | Sequence[torch.Generator],
) -> Tensor:
    """Sample latents (z - ``shift``) ``scale`` (B, C, h, w), float32, of ``pixels`` (B, 3, H, W) in [-1, 1].

    The posterior is sampled once, as the reference trainer does; ``generator`` is one for all pictures,
    or one for each.
    """
    with torch.autocast(vae.device.type, enabled=False):  # `no_half_vae` holds there too
        posterior = vae.encode(pixels.to(vae.device, vae.dtype), return_dict=False)[0]
    mean, deviation = posterior.mean.float(), posterior.std.float()
    drawn = _normal(mean.shape, generator)
    return (mean + deviation * drawn.to(mean) - shift) * scale


@torch.no_grad()
def decode(vae: Any, latents: Tensor, *, shift: float, scale: float) -> Tensor:
    """Return float32 pixels (B, 3, H, W) in [-1, 1] of latents (z - ``shift``) ``scale``."""
    latents = (latents.float() / scale + shift).to(vae.device, vae.dtype)
    with torch.autocast(vae.device.type, enabled=False):
        return vae.decode(latents, return_dict=False)[0].float().clamp(-1, 1)


def to_float32(vae: Any) -> bool:
    """Let an autoencoder compute in float32 from now on; False if it did already."""
    if vae.dtype == torch.float32:
        return False
    vae.to(torch.float32)
    return True


def _normal(shape: torch.Size, generator: torch.Generator | Sequence[torch.Generator]) -> Tensor:
    """Draw noise of ``shape`` (B, ...), each of B pictures with its own generator if there are several."""
    if isinstance(generator, torch.Generator):
        return torch.randn(shape, generator=generator, device=generator.device)
    return torch.stack([torch.randn(shape[1:], generator=one, device=one.device) for one in generator])
