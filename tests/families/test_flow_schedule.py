"""How the settings become a noise process of flow matching."""

import pytest
import torch

from lora_widgets.config.noise import FlowMatching, NoiseAndLoss
from lora_widgets.diffusion.flow import sigmas_by_size
from lora_widgets.families.flow_schedule import flux_process, sd3_process
from lora_widgets.training.loss import draw_noise, time_weights

LATENTS = torch.zeros(4000, 1, 2, 2)


def flux(**changes):
    return flux_process(FlowMatching(**changes), timetable=sigmas_by_size)


def sd3(**changes):
    return sd3_process(FlowMatching(**changes), shift=3.0)


def mean_time(process, **noise):
    settings, generator = NoiseAndLoss(**noise), torch.Generator().manual_seed(0)
    return draw_noise(LATENTS, process, settings, generator=generator).times.mean().item()


def test_every_setting_of_the_times_of_flux_acts():
    times = {
        "uniform": mean_time(flux(timestep_sampling="uniform")),
        "shift": mean_time(flux()),
        "more shift": mean_time(flux(discrete_flow_shift=10)),
        "wider": mean_time(flux(sigmoid_scale=3)),
        "table": mean_time(flux(timestep_sampling="sigma")),
        "bell": mean_time(flux(timestep_sampling="sigma", weighting_scheme="logit_normal", logit_mean=1)),
        "narrow": mean_time(
            flux(timestep_sampling="sigma", weighting_scheme="logit_normal", logit_mean=1, logit_std=0.3)
        ),
        "mode": mean_time(flux(timestep_sampling="sigma", weighting_scheme="mode")),
        "weak mode": mean_time(flux(timestep_sampling="sigma", weighting_scheme="mode", mode_scale=-1)),
    }
    assert len({round(time) for time in times.values()}) == len(times)
    assert times["uniform"] == pytest.approx(500, abs=20)
    assert times["shift"] < times["more shift"]


def test_sd3_keeps_to_the_times_and_the_shift_that_were_asked_for():
    assert mean_time(sd3()) < mean_time(sd3(training_shift=3))
    assert mean_time(sd3(), min_timestep=900, max_timestep=1000) > 900


@pytest.mark.parametrize("scheme", ["uniform", "cosmap", "sigma_sqrt"])
def test_schemes_weigh_the_clean_picture_only(scheme):
    times = torch.tensor([0.0, 250.0, 1000.0])
    weights = time_weights(times, sd3(weighting_scheme=scheme), NoiseAndLoss())
    assert weights is not None
    assert weights.isfinite().all()
    assert time_weights(times, flux(weighting_scheme=scheme), NoiseAndLoss()) is None
    clean = flux(weighting_scheme=scheme, model_prediction_type="sigma_scaled")
    weights = time_weights(times, clean, NoiseAndLoss())
    assert weights is not None
    assert weights.isfinite().all()


def test_only_flux_can_be_perturbed():
    settings = NoiseAndLoss(ip_noise_gamma_enabled=True, ip_noise_gamma=0.5)
    drawn = [
        draw_noise(LATENTS, process, settings, generator=torch.Generator().manual_seed(0))
        for process in (flux(), sd3())
    ]
    assert [torch.equal(draw.added, draw.noise) for draw in drawn] == [False, True]
