"""An autoencoder computed in strips answers what diffusers' own blocks answer, and holds less."""

import pytest
import torch
from diffusers import AutoencoderKL
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lora_widgets.families import strips

SIZES = st.integers(8, 40).map(lambda size: 8 * (size // 8) + 8)


def autoencoder(dtype: torch.dtype = torch.float32) -> AutoencoderKL:
    torch.manual_seed(0)
    model = AutoencoderKL(
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=4,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.to(dtype).eval().requires_grad_(False)


def in_strips(model: AutoencoderKL) -> AutoencoderKL:
    strips.compute_in_strips(model)
    return model


@torch.no_grad()
def moments(model: AutoencoderKL, pixels: Tensor) -> Tensor:
    return model.encode(pixels).latent_dist.parameters  # pyright: ignore[reportAttributeAccessIssue]


@torch.no_grad()
def picture(model: AutoencoderKL, latents: Tensor) -> Tensor:
    return model.decode(latents).sample  # pyright: ignore[reportAttributeAccessIssue]


@given(SIZES, SIZES, st.integers(1, 3), st.sampled_from((1, 500, 2000, 2**30)))
def test_latents_and_pictures_are_those_of_diffusers(width, height, batch, at_once):
    whole, striped = autoencoder(), in_strips(autoencoder())
    pixels = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1
    latents = torch.randn(batch, 4, height // 8, width // 8, generator=torch.Generator().manual_seed(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "_AT_ONCE", at_once)
        torch.testing.assert_close(moments(striped, pixels), moments(whole, pixels), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(picture(striped, latents), picture(whole, latents), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_half_precision_strips_are_as_near_to_the_exact_latents_as_diffusers(dtype):
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    exact = moments(autoencoder(), pixels)

    def error(model: AutoencoderKL) -> float:
        return (moments(model, pixels.to(dtype)).float() - exact).norm().item()

    assert error(in_strips(autoencoder(dtype))) <= 1.2 * error(autoencoder(dtype))


def test_what_is_given_to_the_autoencoder_stays_as_it_is():
    model = in_strips(autoencoder())
    pixels, latents = torch.rand(1, 3, 32, 32), torch.rand(1, 4, 4, 4)
    before = pixels.clone(), latents.clone()
    moments(model, pixels), picture(model, latents)
    assert torch.equal(pixels, before[0])
    assert torch.equal(latents, before[1])


class Largest(TorchDispatchMode):
    """Counts the tensors of the most numbers that come into being."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.numbers, self.count = numbers, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and not result._is_view() and result.numel() >= self.numbers:
            own = all(result.data_ptr() != other.data_ptr() for other in args if isinstance(other, Tensor))
            self.count += own
        return result


def test_a_block_makes_one_tensor_of_the_size_of_its_input(monkeypatch):
    monkeypatch.setattr(strips, "_AT_ONCE", 1000)
    features = torch.rand(1, 8, 64, 64)
    block = autoencoder().encoder.down_blocks[0].resnets[0]  # pyright: ignore[reportAttributeAccessIssue]
    counts = []
    for compute in (block.forward, lambda x, temb: strips.residual_block(block, x)):
        with torch.no_grad(), Largest(features.numel()) as largest:
            compute(features.clone(), None)
        counts.append(largest.count)
    assert counts[0] >= 5
    assert counts[1] == 2  # the copy that is given to it, and what lies between its convolutions


def test_blocks_of_another_form_stay_as_they_are():
    model = autoencoder()
    block = model.encoder.down_blocks[0].resnets[0]  # pyright: ignore[reportAttributeAccessIssue]
    block.nonlinearity = torch.nn.GELU()
    whole = block.forward
    strips.compute_in_strips(model)
    assert block.forward == whole
    assert model.encoder.down_blocks[1].resnets[0].forward.func is strips.residual_block  # pyright: ignore[reportAttributeAccessIssue, reportFunctionMemberAccess]
