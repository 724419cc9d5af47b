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
from lora_widgets.diffusion.noise import multires_noise, offset_noise, perturbed, pyramid_noise

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = json.loads((FOLDER / "loss_noise.json").read_text())
TENSORS = load_file(FOLDER / "noise.safetensors")
LATENTS = TENSORS["latents"]


def drawn_as_recorded(options, seed):
    """Draw in the order of the reference: noise, offset, levels."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(LATENTS.shape, generator=generator)
    if "noise_offset" in options:
        noise = offset_noise(
            noise,
            LATENTS,
            offset=options["noise_offset"],
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


@pytest.mark.parametrize("name", ["plain", "ip0.1"])
def test_noisy_latents_are_those_of_the_reference(name):
    case = next(c for c in GOLDEN["noise"] if c["name"] == name)
    noise, generator = drawn_as_recorded(case["options"], case["seed"])
    process = DiscreteProcess(scaled_linear_betas(1000, start=0.00085, end=0.012), prediction="epsilon")
    times = process.sample_times(2, generator)
    assert torch.equal(times, TENSORS[f"{name}.timesteps"])
    if "ip_noise_gamma" in case["options"]:
        noise = perturbed(noise, gamma=case["options"]["ip_noise_gamma"], generator=generator)
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
