"""What counts in the loss: masks and weights, beside numbers an independent trainer recorded."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from lora_widgets.data.dataset import Batch
from lora_widgets.diffusion.ddpm import DiscreteProcess, scaled_linear_betas
from lora_widgets.training.loss import EVEN, Draw, Emphasis, diffusion_loss, emphasis_of, masks_for

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "loss_noise.json").read_text())["masked_loss"]
PROCESS = DiscreteProcess(scaled_linear_betas(1000, start=0.00085, end=0.012), prediction="epsilon")


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


def loss(emphasis, *, snr_gamma=None, predicted=None):
    noise = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    drawn = Draw(noise, noise, torch.tensor([10, 500, 900]))
    return diffusion_loss(
        torch.zeros_like(noise),
        drawn,
        lambda noisy, times: torch.zeros_like(noisy) if predicted is None else predicted,
        process=PROCESS,
        snr_gamma=snr_gamma,
        emphasis=emphasis,
    ), noise


def test_masks_are_scaled_by_area_as_the_reference_does():
    masks = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(3))
    small = masks_for(torch.ones(2, 4, 8, 8), masks)
    assert small.shape == (2, 1, 8, 8)
    masked = torch.ones(2, 4, 8, 8) * small
    assert masked.mean(dim=(1, 2, 3)).tolist() == pytest.approx(GOLDEN["mean_per_sample"], rel=1e-6)
    assert small[0, 0, 0].tolist() == pytest.approx(GOLDEN["row0"], rel=1e-6)


@pytest.mark.parametrize("snr_gamma", [None, 5.0])
def test_a_white_mask_and_equal_weights_change_nothing(snr_gamma):
    plain, _ = loss(EVEN, snr_gamma=snr_gamma)
    masked, _ = loss(Emphasis(torch.ones(3), torch.ones(3, 1, 64, 64)), snr_gamma=snr_gamma)
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
