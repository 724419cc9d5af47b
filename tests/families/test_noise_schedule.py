"""How the settings and the base model's own scheduler config go together."""

import pytest
import torch

from lora_widgets.config.noise import NoiseAndLoss
from lora_widgets.errors import ModelError
from lora_widgets.families.noise_schedule import noise_process, notes_on_schedule

NOISE, V = {"prediction_type": "epsilon"}, {"prediction_type": "v_prediction"}


@pytest.mark.parametrize(
    ("scheduler", "forced", "predicts"),
    [
        ({}, False, "epsilon"),
        (NOISE, False, "epsilon"),
        (V, False, "v_prediction"),
        ({}, True, "v_prediction"),
        (NOISE, True, "v_prediction"),
        (V, True, "v_prediction"),
    ],
)
def test_the_setting_forces_v_and_else_the_model_decides(scheduler, forced, predicts):
    assert noise_process(scheduler, NoiseAndLoss(v_parameterization=forced)).prediction == predicts


@pytest.mark.parametrize(
    ("scheduler", "changes", "said"),
    [
        (NOISE, {"v_parameterization": True}, "`v_parameterization` is on, but the base model's"),
        (V, {"v_pred_like_loss": 0.5}, "`v_pred_like_loss` is 0.5, but it is for noise prediction"),
        ({"rescale_betas_zero_snr": True}, {}, "but `zero_terminal_snr` is off"),
    ],
)
def test_a_disagreement_is_told(scheduler, changes, said):
    (note,) = notes_on_schedule(scheduler, NoiseAndLoss(**changes))
    assert said in note


@pytest.mark.parametrize(
    ("scheduler", "changes"),
    [
        ({}, {}),
        (NOISE, {"v_pred_like_loss": 0.5}),
        (V, {}),
        (V, {"v_parameterization": True}),
        ({}, {"v_parameterization": True}),
        ({"rescale_betas_zero_snr": True}, {"zero_terminal_snr": True}),
    ],
)
def test_where_they_agree_nothing_is_told(scheduler, changes):
    assert notes_on_schedule(scheduler, NoiseAndLoss(**changes)) == ()


@pytest.mark.parametrize("damage", [{"beta_start": "x"}, {"num_train_timesteps": 0}, {"beta_end": None}])
def test_numbers_that_give_no_noise_are_named(damage):
    with pytest.raises(ModelError, match=rf"damaged scheduler.*{next(iter(damage))}.*Download this file"):
        noise_process(damage, NoiseAndLoss())


def test_zero_terminal_snr_leaves_no_signal():
    process = noise_process({}, NoiseAndLoss(zero_terminal_snr=True))
    assert process.snr(torch.tensor([999])).item() == 0


@pytest.mark.parametrize("scheduler", [{"beta_schedule": "squaredcos_cap_v2"}, {"prediction_type": "sample"}])
def test_what_cannot_be_trained_is_refused_by_name(scheduler):
    with pytest.raises(ModelError, match=next(iter(scheduler.values()))):
        noise_process(scheduler, NoiseAndLoss(v_parameterization=True))
