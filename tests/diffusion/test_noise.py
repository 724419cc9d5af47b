"""Against tensors an independent trainer recorded (tests/golden/loss_noise.json says how they were drawn)."""

import json
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from lora_widgets.diffusion.ddpm import DiscreteProcess, scaled_linear_betas
from lora_widgets.diffusion.noise import (
    multires_noise,
    offset_noise,
    perturbed,
    pyramid_noise,
    random_strength,
)

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = json.loads((FOLDER / "loss_noise.json").read_text())
TENSORS = load_file(FOLDER / "noise.safetensors")
LATENTS = TENSORS["latents"]


def drawn_as_recorded(options, seed):
    """Draw in the order of the reference: noise, offset, levels; return the generator for the rest."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(LATENTS.shape, generator=generator)
    if "noise_offset" in options:
        offset = options["noise_offset"]
        if options.get("noise_offset_random_strength"):
            offset = random_strength(offset, generator)
        noise = offset_noise(
            noise,
            LATENTS,
            offset=offset,
            adaptive_scale=options.get("adaptive_noise_scale", 0.0),
            generator=generator,
        )
    if "multires_noise_iterations" in options:
        rng = random.Random(seed)
        ratios = [rng.random() * 2 + 2 for _ in range(options["multires_noise_iterations"])]
        discount = options.get("multires_noise_discount", 0.3)
        noise = pyramid_noise(noise, ratios, discount=discount, generator=generator)
    return noise, generator


@pytest.mark.parametrize("case", GOLDEN["noise"], ids=lambda case: case["name"])
def test_noise_is_that_of_the_reference(case):
    noise, _ = drawn_as_recorded(case["options"], case["seed"])
    torch.testing.assert_close(noise, TENSORS[f"{case['name']}.noise"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", GOLDEN["noise"], ids=lambda case: case["name"])
def test_noisy_latents_are_those_of_the_reference(case):
    options, name = case["options"], case["name"]
    noise, generator = drawn_as_recorded(options, case["seed"])
    process = DiscreteProcess(scaled_linear_betas(1000, start=0.00085, end=0.012), prediction="epsilon")
    within = range(options.get("min_timestep", 0), options.get("max_timestep", 1000))
    times = process.sample_times(LATENTS.shape, generator, within=within)
    assert torch.equal(times, TENSORS[f"{name}.timesteps"])
    if gamma := options.get("ip_noise_gamma"):
        if options.get("ip_noise_gamma_random_strength"):
            gamma = random_strength(gamma, generator)
        noise = perturbed(noise, gamma=gamma, generator=generator)
    mixed = process.mix(LATENTS, noise, times)
    torch.testing.assert_close(mixed, TENSORS[f"{name}.noisy_latents"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("discount", [0.3, 0.8])
def test_multires_statistics_are_those_of_the_reference(discount):
    recorded = GOLDEN["noise_statistics"]["cases"][f"multires6_{discount}"]
    generator = torch.Generator().manual_seed(0)
    variances = []
    for _ in range(30):
        noise = torch.randn(400, 4, 8, 8, generator=generator)
        noise = multires_noise(noise, iterations=6, discount=discount, generator=generator)
        variances.append(noise.mean(dim=(2, 3)).var())
    # The levels' sizes are drawn once a call, so the mean over calls spreads by about a tenth.
    assert torch.stack(variances).mean().item() == pytest.approx(recorded["var_of_channel_mean"], rel=0.25)


@pytest.mark.parametrize("name", ["offset0.1", "offset0.1_random"])
def test_offset_statistics_are_those_of_the_reference(name):
    recorded = GOLDEN["noise_statistics"]["cases"][name]
    generator, variances = torch.Generator().manual_seed(0), []
    for _ in range(30):
        noise = torch.randn(400, 4, 8, 8, generator=generator)
        offset = random_strength(0.1, generator) if name.endswith("random") else 0.1
        noise = offset_noise(noise, noise, offset=offset, adaptive_scale=0.0, generator=generator)
        variances.append(noise.mean(dim=(2, 3)).var())
    assert torch.stack(variances).mean().item() == pytest.approx(recorded["var_of_channel_mean"], rel=0.1)


@given(height=st.integers(1, 40), width=st.integers(1, 40), iterations=st.integers(1, 12))
def test_multires_noise_has_unit_variance_and_the_same_shape(height, width, iterations):
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(2, 4, height, width, generator=generator)
    result = multires_noise(noise, iterations=iterations, discount=0.5, generator=generator)
    assert result.shape == noise.shape
    assert result.std().item() == pytest.approx(1, abs=1e-4)


def test_functions_leave_their_input_alone():
    noise = torch.ones(1, 4, 8, 8)
    generator = torch.Generator().manual_seed(0)
    offset_noise(noise, noise, offset=0.1, adaptive_scale=0.0, generator=generator)
    multires_noise(
        torch.randn(1, 4, 8, 8, generator=generator), iterations=3, discount=0.3, generator=generator
    )
    perturbed(noise, gamma=0.1, generator=generator)
    assert torch.equal(noise, torch.ones(1, 4, 8, 8))


def test_the_global_generator_is_neither_read_nor_moved():
    before = torch.get_rng_state()
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    multires_noise(noise, iterations=3, discount=0.3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(before, torch.get_rng_state())
