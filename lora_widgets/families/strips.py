"""An autoencoder computed a few rows of the picture at a time: the same latents, less than half the memory.

What a convolution reads exists for the rows in work only: the normalised and activated input, the enlarged
picture, the padding. A block then holds its input, what lies between its two convolutions, and nothing else
of that size; its answer takes the place of its input. A group norm needs mean and variance over the whole
picture (Wu and He, arXiv:1803.08494, eq. 1 and 2), so those are taken before the strips.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Numbers of a strip: what the cache of a processor holds; on a GPU, enough for each start to cost little. A
# convolution brings its weights into the order of its library each time, so a strip has more numbers yet.
_AT_ONCE, _AT_ONCE_ON_GPU, _TIMES_THE_WEIGHTS = 2**20, 2**22, 4
_PARTS_OF_A_NORM = 8


def compute_in_strips(autoencoder: nn.Module) -> None:
    """Let the blocks of a frozen autoencoder of diffusers compute in strips, which is without gradients.

    Blocks of other kinds than Stable Diffusion's autoencoder has stay as they are.
    """
    for module in autoencoder.modules():
        kind = _KINDS.get(type(module).__name__)
        if kind is not None and kind.fits(module):
            module.forward = partial(kind.compute, module)


def residual_block(block: Any, features: Tensor, temb: None = None) -> Tensor:
    """Return ``features`` (B, C, H, W) and what the block adds to them; ``features`` are overwritten."""
    hidden = _convolved(block.conv1, _activated(block.norm1, features))
    changes = _strips(block.conv2, _activated(block.norm2, hidden))
    if block.conv_shortcut is None:
        for rows, change in changes:
            features[:, :, rows] += change
        return features
    answer = torch.empty_like(hidden)
    for rows, change in changes:
        answer[:, :, rows] = change.add_(block.conv_shortcut(features[:, :, rows]))
    return answer


def downsampling(layer: Any, features: Tensor) -> Tensor:
    """Return ``features`` (B, C, H, W) convolved to half the size, padded at the right and the bottom."""
    return _convolved(layer.conv, _Source.of(features), padding=(0, 1))


def upsampling(layer: Any, features: Tensor) -> Tensor:
    """Return ``features`` (B, C, H, W) enlarged to twice the size, each number four times, and convolved."""
    batch, _, height, width = features.shape

    def enlarged(top: int, bottom: int) -> Tensor:
        sources = features[:, :, top // 2 : (bottom + 1) // 2]
        return functional.interpolate(sources, scale_factor=2.0)[:, :, top % 2 : top % 2 + bottom - top]

    return _convolved(layer.conv, _Source(enlarged, batch, 2 * height, 2 * width))


@dataclass(frozen=True)
class _Source:
    """What a convolution reads: ``rows(top, bottom)`` makes (batch, C, bottom - top, width) of ``height``."""

    rows: Callable[[int, int], Tensor]
    batch: int
    height: int
    width: int

    @classmethod
    def of(cls, features: Tensor, change: Callable[[Tensor], Tensor] = lambda rows: rows) -> "_Source":
        """Read ``features`` (B, C, H, W), changed position by position."""
        batch, _, height, width = features.shape
        return cls(lambda top, bottom: change(features[:, :, top:bottom]), batch, height, width)


def _activated(norm: nn.GroupNorm, features: Tensor) -> _Source:
    """Read ``features`` (B, C, H, W) after a group norm and SiLU, computed in float32."""
    mean, variance = _moments(norm, features)
    scale = norm.weight.float() * (variance + norm.eps).rsqrt()
    shift = norm.bias.float() - mean * scale
    scale, shift = scale[..., None, None], shift[..., None, None]

    def change(rows: Tensor) -> Tensor:
        normal = torch.addcmul(shift, rows.float(), scale)
        return functional.silu(normal.to(rows.dtype), inplace=True)

    return _Source.of(features, change)


def _moments(norm: nn.GroupNorm, features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of the group of each channel of ``features``, (B, C) and in float32."""
    in_group = norm.num_channels // norm.num_groups
    moments = []
    for part in features.split(in_group * max(1, norm.num_groups // _PARTS_OF_A_NORM), 1):
        numbers = part.float().unflatten(1, (-1, in_group)).flatten(2)
        mean = numbers.mean(2, keepdim=True)
        variance = (numbers - mean).square_().mean(2)  # much faster than torch.var_mean on a processor
        moments.append(torch.stack((mean.squeeze(2), variance)))
    mean, variance = torch.cat(moments, 2).repeat_interleave(in_group, 2)
    return mean, variance


def _convolved(conv: nn.Conv2d, source: _Source, padding: tuple[int, int] = (1, 1)) -> Tensor:
    """Return the convolution (B, C, H', W') of all rows."""
    whole: Tensor | None = None
    for rows, strip in _strips(conv, source, padding):
        if whole is None:
            height = _rows_of_answer(conv, source, padding)
            whole = strip.new_empty(source.batch, conv.out_channels, height, strip.shape[-1])
        whole[:, :, rows] = strip
    assert whole is not None  # a picture has rows
    return whole


def _strips(
    conv: nn.Conv2d, source: _Source, padding: tuple[int, int] = (1, 1)
) -> Iterator[tuple[slice, Tensor]]:
    """Yield which rows of the answer and those, padded by zeros before and after each row and column."""
    kernel, stride, before = conv.kernel_size[0], conv.stride[0], padding[0]
    height = _rows_of_answer(conv, source, padding)
    tall = _rows_at_once(conv, source, height)
    for start in range(0, height, tall):
        end = min(start + tall, height)
        top, bottom = start * stride - before, (end - 1) * stride - before + kernel
        read = source.rows(max(top, 0), min(bottom, source.height))
        missing = (max(-top, 0), max(bottom - source.height, 0))
        yield slice(start, end), _padded_convolution(conv, read, padding, missing)


def _rows_at_once(conv: nn.Conv2d, source: _Source, height: int) -> int:
    """Return how tall the strips are: all of one height but the last, as libraries prepare each size anew."""
    least = _AT_ONCE_ON_GPU if conv.weight.is_cuda else _AT_ONCE
    at_once = max(least, _TIMES_THE_WEIGHTS * conv.weight.numel())
    row = source.batch * source.width * max(conv.in_channels, conv.out_channels)
    count = min(height, -(-height * row // at_once))
    return -(-height // count)


def _padded_convolution(
    conv: nn.Conv2d, read: Tensor, beside: tuple[int, int], above: tuple[int, int]
) -> Tensor:
    """Return the convolution of ``read`` (B, C, h, W) between zeros; few strips need some above or below."""
    if beside[0] == beside[1] and not any(above):
        return functional.conv2d(read, conv.weight, conv.bias, conv.stride, (0, beside[0]))
    return functional.conv2d(functional.pad(read, (*beside, *above)), conv.weight, conv.bias, conv.stride)


def _rows_of_answer(conv: nn.Conv2d, source: _Source, padding: tuple[int, int]) -> int:
    return (source.height + sum(padding) - conv.kernel_size[0]) // conv.stride[0] + 1


@dataclass(frozen=True)
class _Kind:
    """A kind of block: how it is computed in strips, and whether one has the form that this is right for."""

    compute: Callable[..., Tensor]
    fits: Callable[[Any], bool]


def _is_square(conv: object, stride: int) -> bool:
    """Tell whether it is a convolution of 3 x 3 numbers."""
    if not isinstance(conv, nn.Conv2d):
        return False
    form = (conv.kernel_size, conv.stride, conv.dilation, conv.groups)
    return form == ((3, 3), (stride, stride), (1, 1), 1)


def _fits_residual(block: Any) -> bool:
    extras = (block.time_emb_proj, block.upsample, block.downsample)
    return (
        all(extra is None for extra in extras)
        and isinstance(block.nonlinearity, nn.SiLU)
        and isinstance(block.norm1, nn.GroupNorm)
        and isinstance(block.norm2, nn.GroupNorm)
        and block.output_scale_factor == 1
        and _is_square(block.conv1, 1)
        and _is_square(block.conv2, 1)
    )


def _fits_downsampling(layer: Any) -> bool:
    return layer.norm is None and layer.padding == 0 and _is_square(layer.conv, 2)


def _fits_upsampling(layer: Any) -> bool:
    return layer.norm is None and layer.interpolate and _is_square(getattr(layer, "conv", None), 1)


_KINDS = {
    "ResnetBlock2D": _Kind(residual_block, _fits_residual),
    "Downsample2D": _Kind(downsampling, _fits_downsampling),
    "Upsample2D": _Kind(upsampling, _fits_upsampling),
}
