"""Telling numbers from what is none."""

import pytest
import torch

from lora_widgets.lora_files.finite import all_finite

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("place", [0, 17, 99])
def test_nan_is_found_anywhere(dtype, place):
    numbers = torch.ones(100)
    assert all_finite(numbers.to(dtype))
    numbers[place] = float("nan")
    assert not all_finite(numbers.to(dtype))


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_infinity_is_found(value):
    assert not all_finite(torch.tensor([1.0, value, 2.0]))


def test_nothing_and_whole_numbers_are_finite():
    assert all_finite(torch.ones(0))
    assert all_finite(torch.arange(3))
