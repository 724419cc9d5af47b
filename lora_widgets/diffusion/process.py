"""What every noise process offers, whatever its schedule."""

from typing import Literal, Protocol

import torch
from torch import Tensor

Prediction = Literal["epsilon", "v_prediction"]
"""What the denoiser estimates: the noise, or the velocity of Salimans & Ho 2022 (arXiv:2202.00512)."""


class NoiseProcess(Protocol):
    """A way from clean latents to noise and what the denoiser has to say on the way.

    ``times`` are (B,) integers; latents and noise are (B, C, h, w). Apart from its schedule a process holds
    no state.
    """

    prediction: Prediction

    def sample_times(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw (count,) times uniformly, on the generator's device."""
        ...

    def mix(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return the noisy latents at ``times``."""
        ...

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return what the denoiser should predict at ``times``."""
        ...

    def snr(self, times: Tensor) -> Tensor:
        """Return the signal-to-noise ratio at ``times``; (B,) -> (B,)."""
        ...
