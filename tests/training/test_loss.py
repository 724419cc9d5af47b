"""What is drawn and what counts in the loss, beside numbers an independent trainer recorded."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from lora_widgets.config.noise import FlowMatching, NoiseAndLoss
from lora_widgets.data.dataset import Batch
from lora_widgets.diffusion.ddpm import DiscreteProcess, scaled_linear_betas
from lora_widgets.diffusion.flow import sigmas_by_size
from lora_widgets.families.flow_schedule import flux_process, sd3_process
from lora_widgets.training.loss import (
    EVEN,
    Draw,
    Emphasis,
    diffusion_loss,
    draw_noise,
    emphasis_of,
    masks_for,
    time_weights,
)

pytestmark = pytest.mark.any_libraries
FOLDER = Path(__file__).parents[1] / "golden"
RECORDED = json.loads((FOLDER / "loss_noise.json").read_text())
TENSORS = load_file(FOLDER / "noise.safetensors")
GOLDEN = RECORDED["masked_loss"]
BETAS = scaled_linear_betas(1000, start=0.00085, end=0.012)
PROCESS = DiscreteProcess(BETAS, prediction="epsilon")
V_PROCESS = DiscreteProcess(BETAS, prediction="v_prediction")
PLAIN = NoiseAndLoss(min_snr_gamma_enabled=False)
TIMES = torch.tensor(RECORDED["timesteps"])


def batch(is_reg, masks=None):
    count = len(is_reg)
    return Batch(
        None,
        None,
        ("",) * count,
        tuple(range(count)),
        (False,) * count,
        tuple(is_reg),
        masks,
        sizes=torch.zeros(count, 6),
    )


def loss(emphasis, *, settings=PLAIN, predicted=None):
    noise = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    drawn = Draw(noise, noise, torch.tensor([10, 500, 900]))
    return diffusion_loss(
        torch.zeros_like(noise),
        drawn,
        lambda noisy, times: torch.zeros_like(noisy) if predicted is None else predicted,
        process=PROCESS,
        settings=settings,
        emphasis=emphasis,
    ), noise


def test_masks_are_scaled_by_area_as_the_reference_does():
    masks = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(3))
    small = masks_for(torch.ones(2, 4, 8, 8), masks)
    assert small.shape == (2, 1, 8, 8)
    masked = torch.ones(2, 4, 8, 8) * small
    assert masked.mean(dim=(1, 2, 3)).tolist() == pytest.approx(GOLDEN["mean_per_sample"], rel=1e-6)
    assert small[0, 0, 0].tolist() == pytest.approx(GOLDEN["row0"], rel=1e-6)


@pytest.mark.parametrize("settings", [PLAIN, NoiseAndLoss()], ids=["plain", "min_snr"])
def test_a_white_mask_and_equal_weights_change_nothing(settings):
    plain, _ = loss(EVEN, settings=settings)
    masked, _ = loss(Emphasis(torch.ones(3), torch.ones(3, 1, 64, 64)), settings=settings)
    assert masked.item() == pytest.approx(plain.item(), rel=1e-6)


def test_nothing_is_learned_where_the_mask_is_black():
    masks = torch.ones(3, 1, 64, 64)
    masks[:, :, :, :32] = 0
    masked, noise = loss(Emphasis(masks=masks))
    assert masked.item() == pytest.approx(functional.mse_loss(noise[..., 4:], 0 * noise[..., 4:]).item() / 2)
    predicted = torch.zeros(3, 4, 8, 8, requires_grad=True)
    loss(Emphasis(masks=masks), predicted=predicted)[0].backward()
    assert predicted.grad[..., :4].abs().max() == 0
    assert predicted.grad[..., 4:].abs().min() > 0


def test_pictures_count_by_their_weight():
    weighted, noise = loss(Emphasis(weights=torch.tensor([1.0, 0.25, 1.0])))
    each = noise.square().mean(dim=(1, 2, 3))
    assert weighted.item() == pytest.approx(((each[0] + 0.25 * each[1] + each[2]) / 3).item(), rel=1e-6)


def test_regularisation_pictures_get_the_prior_weight():
    emphasis = emphasis_of(batch([False, True]), prior_loss_weight=0.5)
    assert emphasis.weights.tolist() == [1.0, 0.5]
    assert emphasis.masks is None


@pytest.mark.parametrize(("is_reg", "weight"), [([False, False], 0.5), ([True, False], 1.0)])
def test_where_all_count_the_same_nothing_is_weighted(is_reg, weight):
    assert emphasis_of(batch(is_reg), prior_loss_weight=weight) is EVEN


def test_masks_of_a_batch_count():
    masks = torch.rand(2, 1, 16, 16)
    assert emphasis_of(batch([False, False], masks), prior_loss_weight=1.0).masks is masks


def drawing(options):
    """Return the settings of a recorded case; their order of drawing levels differs from ours."""
    values = {"min_snr_gamma_enabled": False, "ip_noise_gamma_enabled": "ip_noise_gamma" in options}
    return NoiseAndLoss(**values | options)


@pytest.mark.parametrize(
    "case",
    [case for case in RECORDED["noise"] if "multires_noise_iterations" not in case["options"]],
    ids=lambda case: case["name"],
)
def test_draws_are_those_of_the_reference(case):
    generator = torch.Generator().manual_seed(case["seed"])
    drawn = draw_noise(TENSORS["latents"], PROCESS, drawing(case["options"]), generator=generator)
    noisy = PROCESS.mix(TENSORS["latents"], drawn.added, drawn.times)
    assert torch.equal(drawn.times, TENSORS[f"{case['name']}.timesteps"])
    torch.testing.assert_close(drawn.noise, TENSORS[f"{case['name']}.noise"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(noisy, TENSORS[f"{case['name']}.noisy_latents"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "levels"),
    [
        ({}, 0),
        ({"multires_noise_iterations": 3}, 0),
        ({"multinoise": True}, 6),
        ({"multinoise": True, "multires_noise_iterations": 3}, 3),
    ],
)
def test_levels_of_noise_are_six_unless_a_number_is_given(changes, levels):
    assert NoiseAndLoss(**changes).multires_iterations == levels


@pytest.mark.parametrize(
    ("process", "changes", "recorded"),
    [
        (PROCESS, {"debiased_estimation_loss": True}, "post_process_loss: min_snr_gamma=5 + debiased"),
        (
            V_PROCESS,
            {"scale_v_pred_loss_like_noise_pred": True},
            "post_process_loss: v, min_snr_gamma=5 + scale_v_pred",
        ),
        (
            V_PROCESS,
            {"min_snr_gamma_enabled": False, "debiased_estimation_loss": True, "v_pred_like_loss": 0.2},
            "post_process_loss: v, debiased + v_pred_like_loss=0.2",
        ),
    ],
    ids=["min_snr debiased", "v min_snr scaled", "v debiased v_like"],
)
def test_weights_multiply_as_in_the_reference(process, changes, recorded):
    ours = time_weights(TIMES, process, NoiseAndLoss(**changes))
    # SNR is a/(1 - a) there too, but from roots, so that nearly clean pictures differ in the fourth digit.
    torch.testing.assert_close(ours, torch.tensor(RECORDED["loss_weights"][recorded]), rtol=1e-3, atol=1e-9)
    torch.testing.assert_close(
        ours[5:], torch.tensor(RECORDED["loss_weights"][recorded][5:]), rtol=1e-4, atol=1e-9
    )


def test_without_weighting_there_are_no_weights():
    assert time_weights(TIMES, PROCESS, PLAIN) is None


def test_flow_matching_has_plain_noise_and_its_own_weights():
    process = sd3_process(FlowMatching(), shift=3.0)
    settings = NoiseAndLoss(noise_offset=0.1, multinoise=True, debiased_estimation_loss=True)
    drawn = draw_noise(
        torch.zeros(3, 16, 8, 8), process, settings, generator=torch.Generator().manual_seed(4)
    )
    assert torch.equal(drawn.noise, torch.randn(3, 16, 8, 8, generator=torch.Generator().manual_seed(4)))
    weights = time_weights(drawn.times, process, settings)
    torch.testing.assert_close(weights, (drawn.times / 1000).square())


def test_flow_matching_learns_velocity():
    clean, noise = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    result = diffusion_loss(
        clean,
        Draw(noise, noise, torch.tensor([100.0, 500.0, 900.0])),
        lambda noisy, times: noise - clean + 2,
        process=flux_process(FlowMatching(), timetable=sigmas_by_size),
        settings=PLAIN,
    )
    assert result.item() == pytest.approx(4, rel=1e-5)
