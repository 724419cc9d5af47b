"""Against numbers an independent trainer recorded (tests/golden/loss_noise.json says how)."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.diffusion.weights import min_snr_weight

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "loss_noise.json").read_text())
SNR = torch.tensor(GOLDEN["all_snr"])


@pytest.mark.parametrize("gamma", GOLDEN["min_snr"])
@pytest.mark.parametrize(("prediction", "recorded"), [("epsilon", "eps"), ("v_prediction", "v")])
def test_min_snr_weights_are_those_of_the_reference(gamma, prediction, recorded):
    ours = min_snr_weight(SNR, float(gamma), prediction=prediction)
    torch.testing.assert_close(ours, torch.tensor(GOLDEN["min_snr"][gamma][recorded]), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_where_no_signal_is_left_the_weight_is_finite(prediction):
    assert min_snr_weight(torch.zeros(1), 5.0, prediction=prediction).isfinite().all()


@given(snr=st.floats(0, 1e6), gamma=st.floats(0.01, 100))
def test_noise_weights_lie_between_0_and_1(snr, gamma):
    assert 0 <= min_snr_weight(torch.tensor([snr]), gamma, prediction="epsilon").item() <= 1
