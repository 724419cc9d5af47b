"""Weights of the loss as functions of the signal-to-noise ratio; (B,) -> (B,)."""

from torch import Tensor

from lora_widgets.diffusion.process import Prediction

_MAX_SNR = 1000.0
_MIN_SNR = 1 / _MAX_SNR


def min_snr_weight(snr: Tensor, gamma: float, *, prediction: Prediction) -> Tensor:
    """Weight min(SNR, gamma)/SNR for noise, min(SNR, gamma)/(SNR + 1) for velocity prediction.

    Hang et al. 2023, arXiv:2303.09556, section 3.4. At SNR 0 the noise weight is its limit, 1.
    """
    if prediction == "epsilon":
        return (gamma / snr).clamp(max=1)
    return snr.clamp(max=gamma) / (snr + 1)


def debiased_weight(snr: Tensor, *, prediction: Prediction) -> Tensor:
    """Weight 1/sqrt(SNR) for noise prediction, 1/(SNR + 1) for velocity prediction.

    Yu et al. 2023, arXiv:2310.08442; for velocity kohya's ``apply_debiased_estimation``.
    """
    snr = _limited(snr)
    return snr.rsqrt() if prediction == "epsilon" else 1 / (snr + 1)


def noise_like_weight(snr: Tensor) -> Tensor:
    """Weight SNR/(SNR + 1), which turns the squared error of velocity into that of noise.

    With the noisy latents given, e = sqrt(1 - a) x_t + sqrt(a) v (Salimans & Ho, arXiv:2202.00512, appendix
    D), so the errors differ by sqrt(a). kohya's ``scale_v_prediction_loss_like_noise_prediction``.
    """
    snr = _limited(snr)
    return snr / (snr + 1)


def with_velocity_weight(snr: Tensor, share: float) -> Tensor:
    """Weight 1 + share (SNR + 1)/SNR: the squared error of noise, and ``share`` of that of velocity.

    The inverse of ``noise_like_weight``; kohya's ``add_v_prediction_like_loss``.
    """
    return 1 + share / noise_like_weight(snr)


def _limited(snr: Tensor) -> Tensor:
    # The upper end is kohya's. The lower one keeps the end of a zero-terminal schedule finite; other
    # schedules do not get there.
    return snr.clamp(min=_MIN_SNR, max=_MAX_SNR)
