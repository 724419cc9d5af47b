"""Frozen linear layers whose weights are kept in fewer bits and are dense only while they are used."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from lora_widgets.errors import ModelError

DENSE = "dense"
_LEAST_NUMBERS = 4096
"""Smaller weights stay as they are: their scales would take what they save."""
_INSIDE_BLOCKS = ("blocks.", "mid_block.")
_ROW_LIMITS = {"fp8": (torch.float8_e4m3fn, 448.0), "int8": (torch.int8, 127.0)}


class Dense(Protocol):
    """How a stored weight is made dense."""

    def follow(self, device: torch.device) -> None:
        """Have on ``device`` what it needs; not within the product, which torch.compile wants pure."""
        ...

    def __call__(self, stored: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the weight (out, in)."""
        ...


class StoredLinear(nn.Linear):
    """A linear layer that answers with the weight it was given, rounded to what ``how`` can say.

    The gradient flows to its input, never to its weight. What is kept for the backward pass is the stored
    weight: the dense one exists for the moment of a product.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, how: str) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        stored, self._dense = _ENCODERS[how](weight)
        self.weight = nn.Parameter(stored, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, input: Tensor) -> Tensor:
        """Return the product with the weight, in autocast's format or that of the input."""
        kind = input.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else input.dtype
        bias = None if self.bias is None else self.bias.to(dtype)
        self._dense.follow(self.weight.device)
        return _Product.apply(input.to(dtype), self.weight, self._dense, bias)  # pyright: ignore[reportReturnType]

    def dense(self, dtype: torch.dtype) -> Tensor:
        """Return the weight (out, in) as it is used."""
        self._dense.follow(self.weight.device)
        return self._dense(self.weight, dtype)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, stored: Tensor, dense: Dense, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(stored)
        ctx.dense = dense
        return functional.linear(input, dense(stored, input.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (grad,) = grads
        return grad @ ctx.dense(ctx.saved_tensors[0], grad.dtype), None, None, None


def weight_of(layer: nn.Module) -> Tensor:
    """Return the weight that a layer computes with; of a stored one the dense form, made for the moment."""
    weight: Tensor = layer.dense(torch.float32) if isinstance(layer, StoredLinear) else layer.weight  # pyright: ignore[reportAssignmentType]
    return weight


def weight_shape(layer: nn.Module) -> tuple[int, ...]:
    """Return the shape of the weight that a layer computes with, whatever is kept of it."""
    if isinstance(layer, nn.Linear):
        return (layer.out_features, layer.in_features)
    return tuple(layer.weight.shape)  # pyright: ignore[reportArgumentType]


def is_stored(name: str, layer: nn.Module, *, how: str) -> bool:
    """Tell whether a layer of a denoiser, with its path, is kept in fewer bits: the large ones in blocks."""
    if how == DENSE or not isinstance(layer, nn.Linear) or isinstance(layer, StoredLinear):
        return False
    return layer.weight.numel() >= _LEAST_NUMBERS and any(part in name for part in _INSIDE_BLOCKS)


def _by_rows(how: str) -> Callable[[Tensor], tuple[Tensor, Dense]]:
    dtype, limit = _ROW_LIMITS[how]

    def encode(weight: Tensor) -> tuple[Tensor, Dense]:
        scale = weight.float().abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / limit
        scaled = weight.float() / scale
        stored = (scaled.round() if dtype is torch.int8 else scaled).clamp(-limit, limit).to(dtype)
        return stored, _Rows(scale)

    return encode


class _Rows:
    """Make a weight dense by the scale (out, 1) of each row."""

    def __init__(self, scale: Tensor) -> None:
        self._scale = scale

    def follow(self, device: torch.device) -> None:
        """Have the scales on ``device``."""
        if self._scale.device != device:
            self._scale = self._scale.to(device)

    def __call__(self, stored: Tensor, dtype: torch.dtype) -> Tensor:
        return stored.to(dtype).mul_(self._scale.to(dtype))


def _nf4(weight: Tensor) -> tuple[Tensor, Dense]:
    try:
        from bitsandbytes.functional import dequantize_4bit, quantize_4bit
    except ImportError as error:
        raise ModelError(
            "`base_weights` is nf4, which needs the package bitsandbytes, but it cannot be imported "
            f"({error}). Install it with: pip install bitsandbytes, or set `base_weights` to fp8."
        ) from error

    wide = weight if weight.dtype in (torch.float16, torch.bfloat16, torch.float32) else weight.float()
    stored, state = quantize_4bit(wide.contiguous(), quant_type="nf4", blocksize=64)
    # Two numbers are one byte; as many rows as before, so that whoever counts them is right.
    return stored.view(len(weight), -1), _FourBits(state, dequantize_4bit)


class _FourBits:
    """Make a weight dense by what bitsandbytes has kept of it."""

    def __init__(self, state: Any, dequantize: Callable[[Tensor, Any], Tensor]) -> None:
        self._state, self._dequantize = state, dequantize

    def follow(self, device: torch.device) -> None:
        """Have the scales on ``device``: it was stored in main memory and may compute elsewhere."""
        if self._state.absmax.device != device:
            self._state.to(device)

    def __call__(self, stored: Tensor, dtype: torch.dtype) -> Tensor:
        return self._dequantize(stored.view(-1, 1), self._state).to(dtype)


_ENCODERS: dict[str, Callable[[Tensor], tuple[Tensor, Dense]]] = {
    "fp8": _by_rows("fp8"),
    "int8": _by_rows("int8"),
    "nf4": _nf4,
}
