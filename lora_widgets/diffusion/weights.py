"""Weights of the loss as functions of the signal-to-noise ratio; (B,) -> (B,)."""

from torch import Tensor

from lora_widgets.diffusion.process import Prediction


def min_snr_weight(snr: Tensor, gamma: float, *, prediction: Prediction) -> Tensor:
    """Weight min(SNR, gamma)/SNR for noise, min(SNR, gamma)/(SNR + 1) for velocity prediction.

    Hang et al. 2023, arXiv:2303.09556, section 3.4. At SNR 0 the noise weight is its limit, 1.
    """
    if prediction == "epsilon":
        return (gamma / snr).clamp(max=1)
    return snr.clamp(max=gamma) / (snr + 1)
