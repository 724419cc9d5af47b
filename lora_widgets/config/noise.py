"""Tab Advanced, group Noise and loss."""

from typing import Annotated

from pydantic import Field

from lora_widgets.config.fields import OnlyWhen, Ui
from lora_widgets.config.section import Section
from lora_widgets.config.tabs import Tab

MULTIRES_ITERATIONS = 6


class NoiseAndLoss(Section, tab=Tab.ADVANCED, group="Noise and loss"):
    """Which noise the model learns to remove, and how the steps of noise are weighted."""

    min_snr_gamma_enabled: Annotated[bool, Ui("Min-SNR weighting")] = True
    """Weight the loss so that nearly clean pictures do not dominate it. Learns faster and steadier."""

    min_snr_gamma: Annotated[
        float, Field(gt=0, le=100), Ui("Min-SNR gamma"), OnlyWhen.on("min_snr_gamma_enabled")
    ] = 5.0
    """Cap of the signal-to-noise ratio in the loss weight. Smaller weights composition more than detail; 5 is
    the choice of the paper (arXiv:2303.09556)."""

    ip_noise_gamma_enabled: Annotated[bool, Ui("Input perturbation")] = False
    """Add a little extra noise to the input only. Makes the model forgiving of its own errors."""

    ip_noise_gamma: Annotated[
        float, Field(ge=0, le=1), Ui("Input perturbation gamma"), OnlyWhen.on("ip_noise_gamma_enabled")
    ] = 0.05
    """Strength of the extra noise (arXiv:2301.11706). Larger blurs; usual are 0.05 to 0.1."""

    multinoise: Annotated[bool, Ui("Multi-resolution noise")] = False
    """Mix in noise of coarser grain. Helps with very bright and very dark pictures."""

    multires_noise_discount: Annotated[
        float, Field(gt=0, lt=1), Ui("Multi-resolution discount"), OnlyWhen.on("multinoise")
    ] = 0.25
    """Strength of each coarser level against the one before. Larger is stronger; usual are 0.1 to 0.3."""

    noise_offset: Annotated[float, Field(ge=0, le=1), Ui("Noise offset")] = 0.0
    """Shift the noise of each channel as a whole, so that the model learns brightness. Larger gives stronger
    contrast; usual are 0 to 0.1, 0 turns it off."""

    adaptive_noise_scale: Annotated[float, Field(ge=-10, le=10), Ui("Adaptive noise scale")] = 0.0
    """Enlarge noise_offset by this share of each picture's mean latent value. Acts only with noise_offset;
    usual are 0 to 0.05."""

    zero_terminal_snr: Annotated[bool, Ui("Zero terminal SNR")] = False
    """Let the last step of noise hold no trace of the picture (arXiv:2305.08891). Only for base models
    trained so, which predict v."""

    @property
    def snr_gamma(self) -> float | None:
        """Gamma of the min-SNR weighting, or None when it is off."""
        return self.min_snr_gamma if self.min_snr_gamma_enabled else None

    @property
    def ip_gamma(self) -> float | None:
        """Strength of the input perturbation, or None when it is off."""
        return self.ip_noise_gamma if self.ip_noise_gamma_enabled and self.ip_noise_gamma > 0 else None

    @property
    def multires_iterations(self) -> int:
        """Number of coarser levels of noise; 0 when it is off."""
        return MULTIRES_ITERATIONS if self.multinoise else 0
