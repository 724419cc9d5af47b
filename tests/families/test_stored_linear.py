"""Frozen weights in fewer bits: what is computed is what the rounded weights say, and gradients flow."""

import pytest
import torch
from torch import nn

from lora_widgets.catalog.base_weights import BASE_WEIGHTS
from lora_widgets.families.stored_linear import StoredLinear

KINDS = ["fp8", "int8", "nf4"]
CLOSE = {"fp8": 0.04, "int8": 0.01, "nf4": 0.12}
"""Error of a product, relative to its size."""


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return nn.Linear(128, 96).requires_grad_(requires_grad=False)


def stored(layer, how):
    return StoredLinear(layer.weight, layer.bias, how=how)


@pytest.mark.parametrize("how", KINDS)
def test_products_are_close_and_exactly_those_of_the_rounded_weight(layer, how):
    x, small = torch.randn(5, 128), stored(layer, how)
    out, exact = small(x), layer(x)
    assert (out - exact).norm() < CLOSE[how] * exact.norm()
    torch.testing.assert_close(out, nn.functional.linear(x, small.dense(torch.float32), layer.bias))


@pytest.mark.parametrize("how", KINDS)
def test_the_gradient_of_the_input_is_that_of_the_rounded_weight(layer, how):
    small = stored(layer, how)
    x = torch.randn(5, 128, requires_grad=True)
    small(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.ones(5, 96) @ small.dense(torch.float32))
    assert small.weight.grad is None


@pytest.mark.parametrize("how", KINDS)
def test_a_graph_keeps_no_dense_weight(layer, how):
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        stored(layer, how)(torch.randn(5, 128, requires_grad=True))
    sizes = [tensor.nbytes for tensor in kept if tensor.numel() > 5 * 128]
    assert max(sizes) <= layer.weight.numel()


@pytest.mark.parametrize("how", KINDS)
def test_it_takes_the_bytes_that_the_catalog_says(layer, how):
    row = BASE_WEIGHTS[how]
    assert stored(layer, how).weight.nbytes <= row.bytes_per_number * layer.weight.numel()


@pytest.mark.parametrize("how", KINDS)
def test_autocast_decides_the_format(layer, how):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = stored(layer, how)(torch.randn(5, 128))
    assert out.dtype is torch.bfloat16


def test_zero_rows_stay_zero(layer):
    layer.weight[3] = 0
    for how in KINDS:
        assert not stored(layer, how).dense(torch.float32)[3].any()
