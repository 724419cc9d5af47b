"""Against numbers and tensors an independent trainer recorded (tests/golden/loss_noise.json says how)."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from lora_widgets.diffusion.flow import (
    Density,
    FlowProcess,
    FluxTimes,
    SD3Times,
    clean_weight,
    even_sigmas,
    num_tokens,
    resolution_shift,
    scheme_weight,
    shifted,
    sigma_table,
    sigmas_by_size,
    table_sigmas,
    twice_shifted_sigmas,
    with_mode,
)

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = json.loads((FOLDER / "loss_noise.json").read_text())["flow_matching"]
TENSORS = load_file(FOLDER / "flow_tensors.safetensors")
LEVELS = torch.tensor(GOLDEN["quantile_levels"])
ALL = range(1000)


def density_of(options):
    scheme = options.get("weighting_scheme", "uniform")
    return Density(
        "uniform" if scheme == "none" else scheme,
        logit_mean=options.get("logit_mean", 0.0),
        logit_std=options.get("logit_std", 1.0),
        mode_scale=options.get("mode_scale", 1.29),
    )


def flux(**options):
    return FluxTimes(
        options["timestep_sampling"],
        sigmoid_scale=options.get("sigmoid_scale", 1.0),
        shift=options.get("discrete_flow_shift", 3.0),
        density=density_of(options),
    )


def sd3(**options):
    return SD3Times(shift=options.get("training_shift", 1.0), density=density_of(options))


def process_of(sampler, **changes):
    how = {"weight_of": None, "output": "raw", "timetable": sigmas_by_size, "can_be_perturbed": True}
    return FlowProcess(sampler, **(how | changes))


def drawn(sampler, *, count=100_000, size=(64, 64), within=ALL, seed=0):
    shape, generator = torch.Size([count, 16, *size]), torch.Generator().manual_seed(seed)
    return process_of(sampler).sample_times(shape, generator, within=within)


def assert_same_distribution(times, case):
    """Compare the mean, and quantiles within 1 % of the range."""
    ours, theirs = torch.quantile(times, LEVELS), torch.tensor(case["timestep_quantiles"])
    # Of 20 000 draws only 20 decide the outermost quantiles.
    allowed = torch.full_like(ours, 10.0)
    allowed[[0, -1]] = 10.0 if case["draws"] == 100_000 else 20.0
    assert ((ours - theirs).abs() <= allowed).all()
    assert times.mean().item() == pytest.approx(case["mean_t"], abs=5)


@pytest.mark.parametrize("name", GOLDEN["flux"])
def test_times_of_flux_are_distributed_as_in_the_reference(name):
    case = GOLDEN["flux"][name]
    times = drawn(flux(**case["options"]), size=case["options"]["latent_hw"])
    assert_same_distribution(times, case)
    assert 0 <= times.min() <= times.max() <= 1000


@pytest.mark.parametrize("name", GOLDEN["sd3"])
def test_times_of_sd3_are_distributed_as_in_the_reference(name):
    case = GOLDEN["sd3"][name]
    options = case["options"]
    within = range(options.get("min_timestep", 0), options.get("max_timestep", 1000))
    times = drawn(sd3(**options), within=within)
    assert_same_distribution(times, case)
    assert torch.equal(times, times.floor())
    assert within.start <= times.min() <= times.max() < within.stop


def test_times_come_from_the_generator_alone():
    first = drawn(flux(timestep_sampling="shift"), count=9, seed=3)
    torch.randn(5)
    assert torch.equal(first, drawn(flux(timestep_sampling="shift"), count=9, seed=3))
    assert not torch.equal(first, drawn(flux(timestep_sampling="shift"), count=9, seed=4))


def test_equal_ends_give_that_time_alone():
    assert drawn(sd3(), count=3, within=range(500, 500)).tolist() == [500.0] * 3


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_table_of_sigmas_is_that_of_the_reference(shift):
    recorded = GOLDEN[f"scheduler_shift{shift}"]
    torch.testing.assert_close(sigma_table(shift)[::50], torch.tensor(recorded["sigmas_every_50"]))
    assert len(sigma_table(shift)) == recorded["n"]


def test_the_ends_of_the_table_are_read():
    sigmas = table_sigmas(torch.tensor([0.0, 1.0]), shift=1.0)
    torch.testing.assert_close(sigmas, torch.tensor([1.0, 0.001]))


@pytest.mark.parametrize("tokens", [1024, 4096])
def test_shifts_by_size_are_those_of_the_reference(tokens):
    even = torch.linspace(1, 0, 21)
    recorded = torch.tensor(GOLDEN["flux_inference_schedule"][f"steps20_seq{tokens}_shiftTrue"])
    torch.testing.assert_close(shifted(even, resolution_shift(tokens)), recorded, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "shift"), [(64, 64, 1.878), (128, 128, 3.158), (152, 104, 3.082), (104, 152, 3.082)]
)
def test_larger_pictures_are_shifted_more(height, width, shift):
    tokens = num_tokens(torch.Size([1, 16, height, width]))
    assert resolution_shift(tokens) == pytest.approx(shift, abs=5e-4)


@pytest.mark.parametrize("scheme", ["none", "sigma_sqrt", "cosmap", "logit_normal", "mode"])
def test_weights_are_those_of_the_reference(scheme):
    recorded = GOLDEN["loss_weighting"]
    ours = scheme_weight(torch.tensor(recorded["sigmas"]), "uniform" if scheme == "none" else scheme)
    torch.testing.assert_close(ours, torch.tensor(recorded[scheme]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("case", GOLDEN["losses"], ids=lambda c: f"{c['family']} {c['weighting_scheme']}")
def test_mixes_and_losses_are_those_of_the_reference(case):
    """SD3's recorded loss compares clean latents; ours compares velocity and carries the weight between."""
    scheme = "uniform" if case["weighting_scheme"] == "none" else case["weighting_scheme"]
    weight_of = (lambda sigmas: clean_weight(sigmas, scheme)) if case["family"] == "sd3" else None
    process = process_of(sd3(), weight_of=weight_of)
    clean, noise, times = TENSORS["latents"], TENSORS["noise"], TENSORS["sigmas"].flatten() * 1000
    torch.testing.assert_close(process.mix(clean, noise, times), TENSORS["noisy_input"])
    error = (TENSORS["model_output"] - process.target(clean, noise, times)).square().mean(dim=(1, 2, 3))
    weight = process.weight(times)
    error = error if weight is None else error * weight
    torch.testing.assert_close(error, torch.tensor(case["loss_per_sample"]), rtol=1e-5, atol=0)


@given(sigma=st.floats(0, 1), shift=st.floats(0.01, 100))
def test_shifts_stay_within_0_and_1_and_are_undone_by_their_inverse(sigma, shift):
    there = shifted(torch.tensor(sigma, dtype=torch.float64), shift)
    assert 0 <= there <= 1 + 1e-12
    assert shifted(there, 1 / shift).item() == pytest.approx(sigma, abs=1e-9)


@given(scale=st.floats(-1, 1.75))
def test_the_mode_map_is_a_way_from_1_to_0(scale):
    ends = with_mode(torch.linspace(0, 1, 101, dtype=torch.float64), scale=scale)
    assert ends[0] == 1
    assert ends[-1].item() == pytest.approx(0, abs=1e-9)
    assert (ends.diff() <= 1e-9).all()


@pytest.mark.parametrize("scheme", ["uniform", "logit_normal", "mode", "cosmap", "sigma_sqrt"])
def test_weights_of_clean_latents_are_finite_everywhere(scheme):
    assert clean_weight(torch.linspace(0, 1, 11), scheme).isfinite().all()


def test_the_signal_falls_along_the_way():
    ratios = process_of(sd3()).snr(torch.tensor([0.0, 500.0, 1000.0]))
    assert ratios.tolist() == [torch.inf, 1.0, 0.0]


def test_mixing_keeps_half_precision():
    latents = torch.ones(1, 16, 2, 2, dtype=torch.bfloat16)
    process = process_of(sd3())
    assert process.mix(latents, latents, torch.tensor([10.0])).dtype == torch.bfloat16


@pytest.mark.parametrize(("output", "expected"), [("raw", 2.0), ("additive", 7.0), ("sigma_scaled", 4.0)])
def test_an_output_is_taken_for_what_the_setting_says(output, expected):
    latents = torch.full((1, 16, 2, 2), 2.0)
    process = process_of(sd3(), output=output)
    estimate = process.estimate(latents, torch.full_like(latents, 5.0), torch.tensor([500.0]))
    assert estimate.unique().tolist() == [expected]


@pytest.mark.parametrize("size", [(64, 64), (128, 96)])
def test_pictures_are_drawn_at_the_times_of_diffusers_flux_pipeline(size):
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    shape = torch.Size([1, 16, *size])
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    scheduler.set_timesteps(
        sigmas=even_sigmas(8).tolist(), mu=calculate_shift(num_tokens(shape), 256, 4096, 0.5, 1.15)
    )
    torch.testing.assert_close(sigmas_by_size(8, shape) * 1000, scheduler.timesteps)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_pictures_are_drawn_at_the_times_of_diffusers_sd3_pipeline(shift):
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(8)
    torch.testing.assert_close(twice_shifted_sigmas(8, shift) * 1000, scheduler.timesteps)
