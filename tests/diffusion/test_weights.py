"""Against numbers an independent trainer recorded (tests/golden/loss_noise.json says how)."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.diffusion.weights import (
    debiased_weight,
    min_snr_weight,
    noise_like_weight,
    with_velocity_weight,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "loss_noise.json").read_text())
WEIGHTS = GOLDEN["loss_weights"]
SNR = torch.tensor(GOLDEN["all_snr"])


@pytest.mark.parametrize("gamma", GOLDEN["min_snr"])
@pytest.mark.parametrize(("prediction", "recorded"), [("epsilon", "eps"), ("v_prediction", "v")])
def test_min_snr_weights_are_those_of_the_reference(gamma, prediction, recorded):
    ours = min_snr_weight(SNR, float(gamma), prediction=prediction)
    torch.testing.assert_close(ours, torch.tensor(GOLDEN["min_snr"][gamma][recorded]), rtol=1e-5, atol=1e-9)


def close(ours, theirs):
    torch.testing.assert_close(ours, torch.tensor(theirs), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(("prediction", "recorded"), [("epsilon", "eps"), ("v_prediction", "v")])
def test_debiased_weights_are_those_of_the_reference(prediction, recorded):
    close(debiased_weight(SNR, prediction=prediction), WEIGHTS["debiased"][recorded])


def test_weights_between_noise_and_velocity_are_those_of_the_reference():
    close(noise_like_weight(SNR), WEIGHTS["scale_v_pred_loss_like_noise_pred"])
    close(with_velocity_weight(SNR, 0.1), WEIGHTS["v_pred_like_loss=0.1"])


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_where_no_signal_is_left_or_nothing_else_the_weights_are_finite(prediction):
    ends = torch.tensor([0.0, torch.inf])
    assert min_snr_weight(ends, 5.0, prediction=prediction)[0].isfinite()
    assert debiased_weight(ends, prediction=prediction).isfinite().all()
    assert noise_like_weight(ends).isfinite().all()
    assert with_velocity_weight(ends, 1.0).isfinite().all()


@given(snr=st.floats(0.002, 900), seed=st.integers(0, 1000))
def test_the_weighted_error_of_velocity_is_that_of_noise(snr, seed):
    alpha = torch.tensor(snr / (snr + 1))
    clean, noise, guessed = torch.randn(3, 1, 4, 2, 2, generator=torch.Generator().manual_seed(seed))
    mixed = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
    velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
    noise_of_guess = (1 - alpha).sqrt() * mixed + alpha.sqrt() * guessed
    weighted = (velocity - guessed).square().mean() * noise_like_weight(torch.tensor([snr]))
    torch.testing.assert_close(weighted[0], (noise - noise_of_guess).square().mean(), rtol=1e-3, atol=1e-5)


@given(snr=st.floats(0, 1e6), gamma=st.floats(0.01, 100))
def test_noise_weights_lie_between_0_and_1(snr, gamma):
    assert 0 <= min_snr_weight(torch.tensor([snr]), gamma, prediction="epsilon").item() <= 1
