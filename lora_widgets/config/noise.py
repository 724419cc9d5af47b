"""Tab Advanced, group Noise and loss."""

from typing import Annotated

from pydantic import Field

from lora_widgets.catalog.flow import MODEL_PREDICTIONS, TIMESTEP_SAMPLINGS, WEIGHTING_SCHEMES
from lora_widgets.config.fields import OneOf, OnlyWhen, Ui
from lora_widgets.config.section import Section
from lora_widgets.config.tabs import Tab

MULTIRES_ITERATIONS = 6
_NOISE_OR_V = OnlyWhen("model_type", "SD1.5", "SDXL")
_FLOW = OnlyWhen("model_type", "Flux", "SD3")


class NoiseAndLoss(Section, tab=Tab.ADVANCED, group="Noise and loss"):
    """Which noise the model learns to remove, and how the steps of noise are weighted."""

    v_parameterization: Annotated[bool, Ui("V-prediction"), _NOISE_OR_V] = False
    """Train and sample a base model as one that predicts v (arXiv:2202.00512). Off: as the base model's own
    files say. Needed for v models whose files do not say it."""

    min_timestep: Annotated[
        int, Field(ge=0, le=999), Ui("Min timestep"), OnlyWhen("model_type", "SD1.5", "SDXL", "SD3")
    ] = 0
    """Least noise that is trained: 0 is nearly none, 999 nearly nothing else. Larger leaves out the detail of
    pictures; 0 is usual."""

    max_timestep: Annotated[
        int, Field(ge=1, le=1000), Ui("Max timestep"), OnlyWhen("model_type", "SD1.5", "SDXL", "SD3")
    ] = 1000
    """Noise from which on nothing is trained; the step itself is left out, unless min_timestep is the same.
    Smaller leaves out the composition of pictures; 1000 is usual."""

    min_snr_gamma_enabled: Annotated[bool, Ui("Min-SNR weighting"), _NOISE_OR_V] = True
    """Weight the loss so that nearly clean pictures do not dominate it. Learns faster and steadier."""

    min_snr_gamma: Annotated[
        float,
        Field(gt=0, le=100),
        Ui("Min-SNR gamma", reason="to do without the weighting, turn min_snr_gamma_enabled off"),
        OnlyWhen.on("min_snr_gamma_enabled"),
    ] = 5.0
    """Cap of the signal-to-noise ratio in the loss weight. Smaller weights composition more than detail; 5 is
    the choice of the paper (arXiv:2303.09556)."""

    debiased_estimation_loss: Annotated[bool, Ui("Debiased estimation"), _NOISE_OR_V] = False
    """Weight the loss by one over the root of the signal-to-noise ratio (arXiv:2310.08442). Favours
    composition over detail, as Min-SNR does; use one of the two."""

    scale_v_pred_loss_like_noise_pred: Annotated[bool, Ui("V loss like noise loss"), _NOISE_OR_V] = False
    """Weight the steps of noise in v-prediction as noise prediction would. Lets detail count more; needs
    v_parameterization."""

    v_pred_like_loss: Annotated[float, Field(ge=0, le=10), Ui("V-like loss"), _NOISE_OR_V] = 0.0
    """Add this much of what the loss would be in v-prediction to that of noise prediction. Larger lets
    composition count more; usual are 0 to 1, 0 turns it off."""

    ip_noise_gamma_enabled: Annotated[
        bool, Ui("Input perturbation"), OnlyWhen("model_type", "SD1.5", "SDXL", "Flux")
    ] = False
    """Add a little extra noise to the input only. Makes the model forgiving of its own errors."""

    ip_noise_gamma: Annotated[
        float, Field(ge=0, le=1), Ui("Input perturbation gamma"), OnlyWhen.on("ip_noise_gamma_enabled")
    ] = 0.05
    """Strength of the extra noise (arXiv:2301.11706). Larger blurs; usual are 0.05 to 0.1."""

    ip_noise_gamma_random_strength: Annotated[
        bool, Ui("Random perturbation"), OnlyWhen.on("ip_noise_gamma_enabled")
    ] = False
    """Draw the strength anew for each batch, from 0 to ip_noise_gamma."""

    multinoise: Annotated[bool, Ui("Multi-resolution noise"), _NOISE_OR_V] = False
    """Mix in noise of coarser grain. Helps with very bright and very dark pictures."""

    multires_noise_iterations: Annotated[
        int, Field(ge=0, le=64), Ui("Multi-resolution levels"), OnlyWhen.on("multinoise")
    ] = 0
    """Number of levels of noise; 0 means 6. More changes little: levels end where a side is one pixel, which
    is after 4 or 5."""

    multires_noise_discount: Annotated[
        float, Field(gt=0, lt=1), Ui("Multi-resolution discount"), OnlyWhen.on("multinoise")
    ] = 0.25
    """Strength of each coarser level against the one before. Larger is stronger; usual are 0.1 to 0.3."""

    noise_offset: Annotated[float, Field(ge=0, le=1), Ui("Noise offset"), _NOISE_OR_V] = 0.0
    """Shift the noise of each channel as a whole, so that the model learns brightness. Larger gives stronger
    contrast; usual are 0 to 0.1, 0 turns it off."""

    noise_offset_random_strength: Annotated[bool, Ui("Random offset"), _NOISE_OR_V] = False
    """Draw the strength anew for each batch, from 0 to noise_offset."""

    adaptive_noise_scale: Annotated[float, Field(ge=-10, le=10), Ui("Adaptive noise scale"), _NOISE_OR_V] = (
        0.0
    )
    """Enlarge noise_offset by this share of each picture's mean latent value. Acts only with noise_offset;
    usual are 0 to 0.05."""

    zero_terminal_snr: Annotated[bool, Ui("Zero terminal SNR"), _NOISE_OR_V] = False
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
        """Number of levels of multi-resolution noise; 0 when it is off."""
        return (self.multires_noise_iterations or MULTIRES_ITERATIONS) if self.multinoise else 0

    @property
    def timesteps(self) -> range:
        """The steps of noise that are trained; empty where both ends are the same, which is then the one."""
        return range(self.min_timestep, self.max_timestep)


class FlowMatching(Section, tab=Tab.ADVANCED, group="Noise and loss"):
    """Which strengths of noise are trained where the way from picture to noise is straight.

    It shares the heading of ``NoiseAndLoss``, since with other families nothing of it would be shown below
    one of its own.
    """

    timestep_sampling: Annotated[
        str,
        OneOf(TIMESTEP_SAMPLINGS),
        Ui("Sampling of noise"),
        OnlyWhen("model_type", "Flux"),
    ] = "shift"
    """How often each strength of noise is trained. shift is usual for pictures of 1024 px, flux_shift
    follows the size of the picture."""

    sigmoid_scale: Annotated[
        float, Field(gt=0, le=10), Ui("Sigmoid scale"), OnlyWhen("model_type", "Flux")
    ] = 1.0
    """Spread of the samplings sigmoid, shift and flux_shift. Larger trains very weak and very strong noise
    more; 1 is usual."""

    discrete_flow_shift: Annotated[
        float, Field(gt=0, le=100), Ui("Flow shift"), OnlyWhen("model_type", "Flux")
    ] = 3.1582
    """Shift of the samplings shift and sigma. Larger trains strong noise more; 3.1582 is the model's own at
    1024 px, 1 shifts nothing."""

    model_prediction_type: Annotated[
        str, OneOf(MODEL_PREDICTIONS), Ui("Answer of the model"), OnlyWhen("model_type", "Flux")
    ] = "raw"
    """What the model's answer is taken for before it is compared with the velocity. raw is what the model
    was trained for; the others exist to repeat older trainings."""

    guidance_scale: Annotated[float, Field(ge=0, le=100), Ui("Guidance"), OnlyWhen("model_type", "Flux")] = (
        1.0
    )
    """Guidance that the model is told while it trains. 1 is usual; other values change how guidance acts on
    pictures later."""

    training_shift: Annotated[
        float, Field(gt=0, le=100), Ui("Training shift"), OnlyWhen("model_type", "SD3")
    ] = 1.0
    """Shift of the strengths of noise that are trained. Larger trains strong noise more; usual are 1 to 3,
    1 shifts nothing."""

    pos_emb_random_crop_rate: Annotated[
        float, Field(ge=0, le=1), Ui("Random positions"), OnlyWhen("model_type", "SD3")
    ] = 0.0
    """Share of the batches whose pictures lie at a random place of the model's positions, not in the middle.
    Larger keeps SD3.5 medium able to draw other sizes than those it is trained with; 0 turns it off, and the
    other models were not trained so."""

    weighting_scheme: Annotated[str, OneOf(WEIGHTING_SCHEMES), Ui("Weighting of noise"), _FLOW] = "uniform"
    """Which strengths of noise count more. With logit_normal and mode they come more often, with cosmap and
    sigma_sqrt they weigh more. Flux knows the first two with timestep_sampling sigma, and the other two with
    model_prediction_type sigma_scaled."""

    logit_mean: Annotated[float, Field(ge=-10, le=10), Ui("Logit mean"), _FLOW] = 0.0
    """Middle of the weighting logit_normal. Larger trains strong noise more with SD3, and weak noise with
    Flux; 0 is usual."""

    logit_std: Annotated[float, Field(gt=0, le=10), Ui("Logit deviation"), _FLOW] = 1.0
    """Spread of the weighting logit_normal. Larger trains very weak and very strong noise more; 1 is
    usual."""

    mode_scale: Annotated[float, Field(ge=-1, le=1.75), Ui("Mode scale"), _FLOW] = 1.29
    """How much the weighting mode favours middle noise; 0 is even, 1.29 is the choice of the paper
    (arXiv:2403.03206)."""
