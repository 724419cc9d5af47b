"""Against numbers an independent trainer recorded (tests/golden/loss_noise.json says how)."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from lora_widgets.diffusion.ddpm import DiscreteProcess, linear_betas, scaled_linear_betas, zero_terminal

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = json.loads((FOLDER / "loss_noise.json").read_text())
TENSORS = load_file(FOLDER / "noise.safetensors")
TIMES = torch.tensor(GOLDEN["timesteps"])
BETAS = scaled_linear_betas(1000, start=0.00085, end=0.012)


def close(ours, theirs, rtol=1e-5):
    torch.testing.assert_close(ours, torch.tensor(theirs), rtol=rtol, atol=1e-7)


def test_betas_and_signal_are_those_of_the_reference():
    close(BETAS[TIMES], GOLDEN["betas"])
    close(DiscreteProcess(BETAS, prediction="epsilon").alphas_cumprod[TIMES], GOLDEN["alphas_cumprod"])


def test_snr_is_that_of_the_reference():
    close(DiscreteProcess(BETAS, prediction="epsilon").snr(TIMES), GOLDEN["all_snr"], rtol=3e-4)


def test_zero_terminal_betas_are_those_of_the_reference():
    rescaled = zero_terminal(BETAS)
    close(rescaled[TIMES], GOLDEN["zero_terminal"]["betas"], rtol=1e-4)
    close(
        DiscreteProcess(rescaled, prediction="epsilon").alphas_cumprod[TIMES],
        GOLDEN["zero_terminal"]["alphas_cumprod"],
    )


@pytest.mark.parametrize(("name", "betas"), [("eps", BETAS), ("ztsnr", zero_terminal(BETAS))])
def test_mixes_and_velocities_are_those_of_the_reference(name, betas):
    process = DiscreteProcess(betas, prediction="v_prediction")
    clean, noise, times = TENSORS["latents"], TENSORS["ztsnr.noise"], TENSORS["ztsnr.timesteps"]
    mixed, velocity = process.mix(clean, noise, times), process.target(clean, noise, times)
    torch.testing.assert_close(mixed, TENSORS[f"{name}.noisy_latents"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(velocity, TENSORS[f"{name}.velocity"], rtol=1e-5, atol=1e-6)


def test_zero_terminal_leaves_no_signal_at_the_end_and_the_start_as_it_was():
    process = DiscreteProcess(zero_terminal(BETAS), prediction="v_prediction")
    assert process.snr(torch.tensor([999])).item() == 0
    assert process.alphas_cumprod[0].item() == pytest.approx(0.99915, abs=1e-6)


def test_linear_betas_rise_linearly():
    betas = linear_betas(5, start=0.1, end=0.5)
    torch.testing.assert_close(betas, torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]))


def test_at_the_last_time_of_a_zero_terminal_schedule_there_is_only_noise():
    process = DiscreteProcess(zero_terminal(BETAS), prediction="v_prediction")
    clean, noise = torch.randn(2, 1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    last = torch.tensor([999])
    torch.testing.assert_close(process.mix(clean, noise, last), noise)
    torch.testing.assert_close(process.target(clean, noise, last), -clean)


def test_at_the_first_time_there_is_almost_only_signal():
    process = DiscreteProcess(BETAS, prediction="epsilon")
    clean, noise = torch.randn(2, 1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    assert (process.mix(clean, noise, torch.tensor([0])) - clean).abs().max() < 0.15


@given(time=st.integers(0, 999), seed=st.integers(0, 2**32))
def test_velocity_and_noise_convert_into_each_other(time, seed):
    process = DiscreteProcess(BETAS, prediction="v_prediction")
    clean, noise = torch.randn(2, 1, 4, 2, 2, generator=torch.Generator().manual_seed(seed))
    times = torch.tensor([time])
    mixed, velocity, alpha = process.mix(clean, noise, times), process.target(clean, noise, times), BETAS
    alpha = process.alphas_cumprod[time]
    torch.testing.assert_close(
        alpha.sqrt() * mixed - (1 - alpha).sqrt() * velocity, clean, rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        (1 - alpha).sqrt() * mixed + alpha.sqrt() * velocity, noise, rtol=1e-4, atol=1e-5
    )


def test_the_target_of_noise_prediction_is_the_noise():
    clean, noise = torch.zeros(2, 4, 2, 2), torch.ones(2, 4, 2, 2)
    process = DiscreteProcess(BETAS, prediction="epsilon")
    assert process.target(clean, noise, torch.tensor([3, 900])) is noise


def sampled(count, within, *, seed=0, betas=BETAS):
    process, generator = DiscreteProcess(betas, prediction="epsilon"), torch.Generator().manual_seed(seed)
    return process.sample_times(torch.Size([count, 4, 8, 8]), generator, within=within)


def test_times_are_those_of_the_reference():
    recorded = GOLDEN["get_timesteps"]
    assert sampled(16, range(1000), seed=recorded["seed"]).tolist() == recorded["first"]
    times = sampled(20_000, range(200, 800))
    assert [times.min().item(), times.max().item()] == recorded["200..800 range"]
    assert sampled(4, range(500, 500)).tolist() == recorded["500..500"]


@given(count=st.integers(1, 1000), start=st.integers(0, 999), end=st.integers(1, 1000))
def test_times_lie_within_the_range_and_the_schedule(count, start, end):
    times = sampled(50, range(start, end), betas=BETAS[:count])
    assert times.max() < count
    if start < min(count, end):
        assert start <= times.min()
        assert times.max() < end
    else:
        assert times.unique().tolist() == [min(start, count - 1)]


def test_the_process_itself_weights_nothing():
    assert DiscreteProcess(BETAS, prediction="epsilon").weight(TIMES) is None


def test_times_are_uniform_and_come_from_the_generator_alone():
    first = sampled(20_000, range(1000), seed=5)
    torch.randn(7)
    assert torch.equal(first, sampled(20_000, range(1000), seed=5))
    assert first.dtype == torch.long
    assert first.min() == 0
    assert first.max() == 999
    assert abs(first.float().mean() - 499.5) < 8


def test_mixing_keeps_half_precision():
    process = DiscreteProcess(BETAS, prediction="epsilon")
    latents = torch.ones(1, 4, 2, 2, dtype=torch.bfloat16)
    assert process.mix(latents, latents, torch.tensor([10])).dtype == torch.bfloat16
