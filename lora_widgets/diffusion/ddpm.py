"""The discrete process of denoising diffusion models (Ho et al. 2020, arXiv:2006.11239)."""

import torch
from torch import Tensor

from lora_widgets.diffusion.process import Prediction


def scaled_linear_betas(count: int, *, start: float, end: float) -> Tensor:
    """Return (count,) noise variances whose roots rise linearly; Rombach et al. 2022, arXiv:2112.10752."""
    return torch.linspace(start**0.5, end**0.5, count, dtype=torch.float32) ** 2


def linear_betas(count: int, *, start: float, end: float) -> Tensor:
    """Return (count,) noise variances that rise linearly; Ho et al. 2020, section 4."""
    return torch.linspace(start, end, count, dtype=torch.float32)


def zero_terminal(betas: Tensor) -> Tensor:
    """Rescale so that no signal is left at the last time; Lin et al. 2024, arXiv:2305.08891, algorithm 1."""
    signal = (1 - betas).cumprod(0).sqrt()
    first, last = signal[0].clone(), signal[-1].clone()
    kept = ((signal - last) * (first / (first - last))).square()
    alphas = torch.cat([kept[:1], kept[1:] / kept[:-1]])
    return 1 - alphas


class DiscreteProcess:
    """Variance-preserving noising in discrete steps: x_t = sqrt(a_t) x + sqrt(1 - a_t) e.

    ``a_t`` is the product of 1 - beta up to t ("alpha bar" of Ho et al. 2020, eq. 4).
    """

    can_be_perturbed = True

    def __init__(self, betas: Tensor, *, prediction: Prediction) -> None:
        self.prediction: Prediction = prediction
        self.betas = betas.to(torch.float32)
        self.alphas_cumprod = (1 - self.betas).cumprod(0)
        self._on_device = {self.alphas_cumprod.device: self.alphas_cumprod}

    def __len__(self) -> int:
        """Return the number of times."""
        return len(self.betas)

    def sample_times(self, shape: torch.Size, generator: torch.Generator, *, within: range) -> Tensor:
        """Draw (B,) times uniformly from ``within``, as far as there are such times.

        An empty range stands for its start alone, as in kohya's ``get_timesteps``.
        """
        first, end = min(within.start, len(self) - 1), min(within.stop, len(self))
        return torch.randint(
            first, max(end, first + 1), shape[:1], generator=generator, device=generator.device
        )

    def mix(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return x_t = sqrt(a) x + sqrt(1 - a) e; Ho et al. 2020, eq. 4."""
        alpha = self._alpha(times, clean)
        return alpha.sqrt() * clean + (1 - alpha).sqrt() * noise

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return the noise, or v = sqrt(a) e - sqrt(1 - a) x; Salimans & Ho, arXiv:2202.00512, appendix D."""
        if self.prediction == "epsilon":
            return noise
        alpha = self._alpha(times, clean)
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * clean

    def estimate(self, output: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """Return the output itself: the denoiser estimates the target."""
        return output

    def snr(self, times: Tensor) -> Tensor:
        """Return a / (1 - a); Kingma et al. 2021, arXiv:2107.00630, eq. 2; 0 at a zero-terminal end.

        It is that of the schedule in use. kohya keeps the one from before ``zero_terminal``, which the
        latents of that schedule do not have.
        """
        alpha = self._table(times.device)[times]
        return alpha / (1 - alpha)

    def weight(self, times: Tensor) -> Tensor | None:
        """Return None: all times count the same before settings weight them by their SNR."""
        return None

    def _alpha(self, times: Tensor, like: Tensor) -> Tensor:
        alpha = self._table(like.device)[times.to(like.device)]
        return alpha.view(-1, *[1] * (like.ndim - 1)).to(like.dtype)

    def _table(self, device: torch.device) -> Tensor:
        # One copy per device: indexing a table on the CPU with times on the GPU waits for the GPU each step.
        if device not in self._on_device:
            self._on_device[device] = self.alphas_cumprod.to(device)
        return self._on_device[device]
