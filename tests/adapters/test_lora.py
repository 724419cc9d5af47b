"""What one LoRA module computes."""

import pytest
import torch
from torch import nn

from lora_widgets.adapters.adapted import AdaptedTarget
from lora_widgets.adapters.dropout import Dropout, DropoutClock, DropoutRates, mask_index
from lora_widgets.adapters.lora import LowRank
from lora_widgets.adapters.part import Options, Part
from lora_widgets.adapters.targets import Member, Target, single


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def adapted(target, *, rank=3, alpha=6.0, rates=DropoutRates(), index=0, clock=None, **options):  # noqa: B008 - frozen
    part = Part(target, "locon", rank, alpha, Options(**options))
    dropout = Dropout(clock or DropoutClock(1), rates, index=index)
    return AdaptedTarget(part, LowRank(part, dropout, generator=seeded()), dropout)


def filled(module):
    with torch.no_grad():
        module.maths.lora_up.normal_(generator=seeded(1))
    return module


def a_module(base, *, dropout=0.0, **changes):
    return filled(adapted(single("x", base), rates=DropoutRates(values=dropout), **changes))


def linear():
    base = nn.Linear(5, 4)
    with torch.no_grad():
        base.weight.normal_(generator=seeded(2))
        base.bias.normal_(generator=seeded(3))
    return base.requires_grad_(requires_grad=False)


INPUTS = torch.randn(2, 7, 5, generator=seeded(4))


def test_a_linear_module_adds_the_scaled_low_rank_product():
    base = linear()
    module = a_module(base)
    expected = base(INPUTS) + INPUTS @ (module.maths.lora_up @ module.maths.lora_down).T * (6 / 3)
    module.put_in_place()
    torch.testing.assert_close(base(INPUTS), expected)


def test_a_convolution_is_adapted_like_the_linear_layer_it_is():
    base = nn.Conv2d(5, 4, 1).requires_grad_(requires_grad=False)
    module = a_module(base)
    pixels = torch.randn(2, 5, 3, 3, generator=seeded())
    product = (module.maths.lora_up.flatten(1) @ module.maths.lora_down.flatten(1)) * 2
    expected = base(pixels) + torch.einsum("oi,bihw->bohw", product, pixels)
    module.put_in_place()
    torch.testing.assert_close(base(pixels), expected)


def test_start_values_come_from_the_generator_and_change_nothing():
    first, second = (adapted(single("x", linear())).maths for _ in range(2))
    assert torch.equal(first.lora_down, second.lora_down)
    assert first.lora_down.abs().max() <= 5**-0.5
    assert not first.lora_up.any()


def test_taking_out_restores_the_class_method():
    base = linear()
    module = a_module(base)
    module.put_in_place()
    assert "forward" in base.__dict__
    module.take_out()
    module.take_out()
    assert "forward" not in base.__dict__


def test_taking_out_restores_another_librarys_wrapper():
    base = linear()
    base.forward = wrapper = lambda inputs: inputs * 0
    module = a_module(base)
    module.put_in_place()
    module.take_out()
    assert base.forward is wrapper


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_base_answers_in_its_own_type(dtype):
    base = linear().to(dtype)
    module = a_module(base)
    module.put_in_place()
    output = base(INPUTS.to(dtype))
    output.sum().backward()
    assert output.dtype == dtype
    assert module.maths.lora_down.grad.dtype == torch.float32


def test_under_autocast_the_weights_stay_float32():
    base = linear()
    module = a_module(base)
    module.put_in_place()
    with torch.autocast("cpu", torch.bfloat16):
        output = base(INPUTS)
    output.float().sum().backward()
    assert output.dtype == torch.bfloat16
    assert module.maths.lora_up.grad.dtype == torch.float32


def test_dropout_is_a_function_of_the_position():
    clock = DropoutClock(7)
    base = linear()
    a_module(base, dropout=0.5, clock=clock).put_in_place()
    clock.set_position(3, 1)
    first = base(INPUTS)
    torch.randn(5)
    clock.set_position(3, 2)
    other = base(INPUTS)
    clock.set_position(3, 1)
    assert torch.equal(first, base(INPUTS))
    assert not torch.equal(first, other)


def test_dropout_differs_between_modules_and_seeds():
    like = torch.zeros(200)
    masks = [
        DropoutClock(seed).mask(like, probability=0.5, index=mask_index(index))
        for seed in (1, 2)
        for index in (0, 1)
    ]
    assert len({tuple(mask.tolist()) for mask in masks}) == 4


def test_dropout_keeps_the_mean_and_drops_the_share():
    mask = DropoutClock(1).mask(torch.zeros(100_000), probability=0.3, index=mask_index(0))
    assert mask.mean().item() == pytest.approx(1, abs=0.02)
    assert (mask == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)


def test_dropout_is_off_when_not_training():
    base = linear()
    module = a_module(base, dropout=0.9)
    module.put_in_place()
    module.eval()
    expected = (
        module._places[0].base_forward(INPUTS)
        + INPUTS @ (module.maths.lora_up @ module.maths.lora_down).T * 2
    )
    torch.testing.assert_close(base(INPUTS), expected)


def stacked():
    """Return three layers and the target that files make of them: 4, 2 and 4 rows, the last one's swapped."""
    layers = [nn.Linear(5, rows).requires_grad_(requires_grad=False) for rows in (4, 2, 4)]
    rows = slice(0, 4), slice(4, 6), slice(6, 10)
    swapped = False, False, True
    return layers, Target("x", tuple(Member(*member) for member in zip(layers, rows, swapped, strict=True)))


def test_layers_that_files_stack_share_the_inner_values_and_have_their_own_rows():
    layers, target = stacked()
    module = filled(adapted(target))
    down, up = module.maths.lora_down, module.maths.lora_up
    assert (down.shape, up.shape) == ((3, 5), (10, 3))
    before = torch.cat([layer(INPUTS) for layer in layers], dim=-1)
    module.put_in_place()
    change = torch.cat([layer(INPUTS) for layer in layers], dim=-1) - before
    expected = INPUTS @ (up @ down).T * 2
    expected[..., 6:] = expected[
        ..., [8, 9, 6, 7]
    ]  # as a module, the last has its halves the other way round
    torch.testing.assert_close(change, expected)
    module.take_out()
    assert torch.equal(torch.cat([layer(INPUTS) for layer in layers], dim=-1), before)


def test_layers_of_one_target_see_one_dropout():
    layers, target = stacked()
    module = adapted(target, rates=DropoutRates(values=0.5))
    with torch.no_grad():
        module.maths.lora_up.fill_(1)
    before = [layer(INPUTS) for layer in layers]
    module.put_in_place()
    changes = [layer(INPUTS) - base for layer, base in zip(layers, before, strict=True)]
    assert changes[0].any()
    torch.testing.assert_close(changes[0], changes[2])
    torch.testing.assert_close(changes[0][..., :2], changes[1])
