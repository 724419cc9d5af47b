"""Flux's transformer: what it is given and what it answers (Black Forest Labs 2024, ``flux.model``)."""

from typing import Any

import torch
from torch import Tensor

from lora_widgets.families.family import TextEmbedding

PATCH = 2
"""A patch is as many latents wide and high; the transformer reads each as one token."""


def pack(latents: Tensor) -> Tensor:
    """Return the patches of latents (B, C, h, w) as tokens (B, h/2 w/2, 4 C), row by row."""
    batch, channels, height, width = latents.shape
    patches = latents.view(batch, channels, height // PATCH, PATCH, width // PATCH, PATCH)
    return patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpack(tokens: Tensor, shape: torch.Size) -> Tensor:
    """Return latents of ``shape`` (B, C, h, w) that ``pack`` gives these tokens."""
    batch, channels, height, width = shape
    patches = tokens.view(batch, height // PATCH, width // PATCH, channels, PATCH, PATCH)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(shape)


def places(rows: int, columns: int, *, device: torch.device | str) -> Tensor:
    """Return the place of each token of a picture (rows columns, 3): 0, its row, its column."""
    along = torch.arange(rows, device=device), torch.arange(columns, device=device)
    row, column = torch.meshgrid(*along, indexing="ij")
    return torch.stack([torch.zeros_like(row), row, column], dim=-1).flatten(0, 1).float()


def estimate(
    transformer: Any, noisy: Tensor, times: Tensor, *, text: TextEmbedding, guidance: Tensor | None
) -> Tensor:
    """Return the velocity (B, C, h, w) at ``times`` (B,) of 1000; precision is that of ``denoiser.estimate``.

    ``guidance`` (B,) is for models that are told it. All text has the place 0. A mask of the text keeps every
    token from looking at padding, in all blocks, as kohya's trainer does.
    """
    device = noisy.device
    hidden, pooled = text.hidden, text.pooled
    assert pooled is not None  # the family gives it
    if not torch.is_autocast_enabled(device.type):
        dtype = transformer.x_embedder.weight.dtype  # `transformer.dtype` walks over all parameters
        noisy, hidden, pooled = noisy.to(dtype), hidden.to(dtype), pooled.to(dtype)
    tokens = pack(noisy)
    answer = transformer(
        hidden_states=tokens,
        encoder_hidden_states=hidden,
        pooled_projections=pooled,
        timestep=times.to(device) / 1000,
        img_ids=places(noisy.shape[2] // PATCH, noisy.shape[3] // PATCH, device=device),
        txt_ids=torch.zeros(hidden.shape[1], 3, device=device),
        guidance=guidance,
        joint_attention_kwargs=None if text.mask is None else {"attention_mask": _seen(text.mask, tokens)},
        return_dict=False,
    )[0]
    return unpack(answer, noisy.shape)


def _seen(mask: Tensor, tokens: Tensor) -> Tensor:
    """Return which of all tokens may be looked at (B, 1, 1, L + N): the text's by ``mask``, the picture's."""
    picture = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    return torch.cat([mask.to(tokens.device, torch.bool), picture], dim=1)[:, None, None]
