"""Pictures to latents and back, with Stable Diffusion's autoencoder (Rombach et al., arXiv:2112.10752)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lora_widgets.families.fingerprint import fingerprint, origin
from lora_widgets.families.in_memory import free_memory, loaded
from lora_widgets.families.parts import PartPlace
from lora_widgets.families.strips import compute_in_strips

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL


class Autoencoder:
    """The autoencoder of a base model; ``model`` is None until it is loaded.

    Latents are (z - shift) scale, as its configuration says; ``usual_scale`` is for one that says nothing.
    ``latent_factor`` is how many pixels along a side become one latent.
    """

    def __init__(self, place: PartPlace, settings: Any, *, usual_scale: float) -> None:
        self._place = place
        self._needs_float32 = bool(settings.no_half_vae)
        self._in_tiles = bool(settings.vae_tiling)
        self._scale: float = place.config.get("scaling_factor", usual_scale)
        self._shift: float = place.config.get("shift_factor") or 0.0
        self.latent_channels: int = place.config.get("latent_channels", 4)  # what its class assumes
        self.latent_factor: int = 2 ** (len(place.config["block_out_channels"]) - 1)
        self.model: AutoencoderKL | None = None

    def load(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load it, frozen, in ``dtype``, or in float32 where that is needed.

        Raises:
            ModelError: it cannot be loaded.
        """
        model = self._place.load(device=device, dtype=self._kept_in(dtype))
        model.use_tiling = self._in_tiles  # what is larger than it was made for goes tile by tile
        compute_in_strips(model)
        self.model = model

    def unload(self) -> None:
        """Forget it and return its memory; nothing happens if it is not loaded."""
        self.model = None
        free_memory()

    def origin(self, dtype: torch.dtype) -> str | None:
        """Return what tells this autoencoder in ``dtype`` from others without loading it, None if nothing."""
        return origin(self._place, dtype=self._kept_in(dtype), facts=self._facts)

    def fingerprint(self) -> str:
        """Return a hash of all that decides the outputs of the loaded autoencoder."""
        return fingerprint(loaded(self.model, "vae"), self._place.config, self._facts)

    def use_float32(self) -> bool:
        """Let it compute in float32, now and when loaded again; False if it did already."""
        self._needs_float32 = True
        model = loaded(self.model, "vae")
        if model.dtype == torch.float32:
            return False
        model.to(torch.float32)
        return True

    @torch.no_grad()
    def encode(self, pixels: Tensor, *, generator: torch.Generator | Sequence[torch.Generator]) -> Tensor:
        """Sample latents (B, C, h, w), float32 and scaled, of ``pixels`` (B, 3, H, W) in [-1, 1].

        The posterior is sampled once, as the reference trainer does; ``generator`` is one for all pictures,
        or one for each.
        """
        vae = loaded(self.model, "vae")
        with torch.autocast(vae.device.type, enabled=False):  # `no_half_vae` holds there too
            posterior = vae.encode(pixels.to(vae.device, vae.dtype), return_dict=False)[0]
        mean, deviation = posterior.mean.float(), posterior.std.float()
        drawn = _normal(mean.shape, generator)
        return (mean + deviation * drawn.to(mean) - self._shift) * self._scale

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return float32 pixels (B, 3, H, W) in [-1, 1] of scaled latents."""
        vae = loaded(self.model, "vae")
        latents = (latents.float() / self._scale + self._shift).to(vae.device, vae.dtype)
        with torch.autocast(vae.device.type, enabled=False):
            return vae.decode(latents, return_dict=False)[0].float().clamp(-1, 1)

    @property
    def _facts(self) -> tuple[object, ...]:
        return self._scale, self._shift, self._in_tiles

    def _kept_in(self, dtype: torch.dtype) -> torch.dtype:
        return torch.float32 if self._needs_float32 else dtype


def _normal(shape: torch.Size, generator: torch.Generator | Sequence[torch.Generator]) -> Tensor:
    """Draw noise of ``shape`` (B, ...), each of B pictures with its own generator if there are several."""
    if isinstance(generator, torch.Generator):
        return torch.randn(shape, generator=generator, device=generator.device)
    return torch.stack([torch.randn(shape[1:], generator=one, device=one.device) for one in generator])
