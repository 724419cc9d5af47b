"""Every combination of what weights the loss of noise and v, beside the papers' equations in numpy."""

from itertools import product

import numpy as np
import pytest
import torch

from lora_widgets.config.noise import NoiseAndLoss
from lora_widgets.families.noise_schedule import noise_process
from lora_widgets.training.loss import Draw, Emphasis, diffusion_loss

pytestmark = pytest.mark.any_libraries
TIMES = np.array([0, 100, 500, 998])
PRIOR = np.array([1, 0.5, 1, 0.25])
WEIGHTINGS = [
    {
        "min_snr_gamma_enabled": gamma > 0,
        "min_snr_gamma": gamma or 5.0,
        "debiased_estimation_loss": debiased,
        "scale_v_pred_loss_like_noise_pred": scaled,
        "v_pred_like_loss": v_like,
    }
    for gamma, debiased, scaled, v_like in product((0, 0.5, 5.0), (False, True), (False, True), (0, 0.5))
]


def signal(settings):
    """Return alpha bar of all times; Lin et al. 2024, algorithm 1, where no signal is left at the end."""
    roots = np.sqrt(np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2))
    if settings.zero_terminal_snr:
        roots = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    return roots**2


def weights_of(snr, settings):
    """Return the product of the weights: Hang et al. 2023, Yu et al. 2023, and kohya's two of v."""
    is_v, weights, limited = settings.v_parameterization, np.ones_like(snr), np.clip(snr, 1e-3, 1e3)
    if settings.min_snr_gamma_enabled:
        weights = weights * np.minimum(snr, settings.min_snr_gamma) / (snr + 1 if is_v else snr)
    if settings.debiased_estimation_loss:
        weights = weights / (limited + 1 if is_v else np.sqrt(limited))
    if settings.scale_v_pred_loss_like_noise_pred:
        weights = weights * limited / (limited + 1)
    return weights * (1 + settings.v_pred_like_loss * (limited + 1) / limited)


@pytest.mark.parametrize("perturbed", [False, True])
@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize("v_parameterization", [False, True])
def test_what_is_combined_multiplies_as_the_equations_say(v_parameterization, zero_terminal_snr, perturbed):
    random = np.random.default_rng(0)
    clean, noise, more, guess = random.standard_normal((4, 4, 4, 8, 8))
    masks, added = random.random((4, 1, 8, 8)), noise + 0.1 * more if perturbed else noise
    for weighting in WEIGHTINGS:
        settings = NoiseAndLoss(
            v_parameterization=v_parameterization, zero_terminal_snr=zero_terminal_snr, **weighting
        )
        kept = signal(settings)[TIMES][:, None, None, None]
        noisy = np.sqrt(kept) * clean + np.sqrt(1 - kept) * added
        target = np.sqrt(kept) * noise - np.sqrt(1 - kept) * clean if v_parameterization else noise
        error = (masks * (0.4 * noisy + guess - target) ** 2).mean((1, 2, 3))
        expected = (error * PRIOR * weights_of((kept / (1 - kept)).ravel(), settings)).mean()
        loss = diffusion_loss(
            single(clean),
            Draw(single(noise), single(added), torch.tensor(TIMES)),
            lambda noisy, times: 0.4 * noisy + single(guess),
            process=noise_process({}, settings),
            settings=settings,
            emphasis=Emphasis(single(PRIOR), single(masks)),
        )
        assert loss.item() == pytest.approx(expected, rel=2e-4), weighting


def single(values):
    return torch.tensor(values, dtype=torch.float32)
