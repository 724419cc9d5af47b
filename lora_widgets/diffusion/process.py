"""What every noise process offers, whatever its schedule."""

from typing import Literal, Protocol

import torch
from torch import Tensor

Prediction = Literal["epsilon", "v_prediction", "flow_prediction"]
"""What the denoiser estimates: the noise, the velocity of Salimans & Ho 2022 (arXiv:2202.00512), or that of
rectified flow (Liu et al. 2022, arXiv:2209.03003). The names are those of diffusers' schedulers."""


class NoiseProcess(Protocol):
    """A way from clean latents to noise and what the denoiser has to say on the way.

    ``times`` are (B,) numbers, those that the denoiser is given; latents and noise are (B, C, h, w). Apart
    from its schedule a process holds no state.
    """

    prediction: Prediction
    can_be_perturbed: bool
    """Whether the picture may be mixed with a little more noise than the denoiser has to predict."""

    def sample_times(self, shape: torch.Size, generator: torch.Generator, *, within: range) -> Tensor:
        """Draw (B,) times for latents of ``shape``, on the generator's device.

        ``within`` holds the times that may come; an empty range stands for its start alone.
        """
        ...

    def mix(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return the noisy latents at ``times``."""
        ...

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return what the denoiser should predict at ``times``."""
        ...

    def estimate(self, output: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """Return what is compared with the target, given the denoiser's ``output`` for ``noisy``."""
        ...

    def snr(self, times: Tensor) -> Tensor:
        """Return the signal-to-noise ratio at ``times``; (B,) -> (B,)."""
        ...

    def weight(self, times: Tensor) -> Tensor | None:
        """Return the weight (B,) of the squared error that belongs to the process; None where all is even."""
        ...
