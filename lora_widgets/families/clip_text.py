"""Reading captions with a CLIP text encoder, long ones through several windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lora_widgets.config.caption_weights import weighted_parts
from lora_widgets.config.captions import TOKENS_PER_WINDOW
from lora_widgets.errors import ModelError
from lora_widgets.families.in_memory import let_checkpoints_act


@dataclass(frozen=True)
class Tokens:
    """Token ids (B, n, 77) of captions in windows; ``weights`` (B, 75 n + 2) of their states, None: all 1."""

    ids: Tensor
    weights: Tensor | None = None

    def weigh(self, hidden: Tensor) -> Tensor:
        """Scale hidden states (B, 75 n + 2, D) by the weights; their mean is not restored afterwards.

        Matches kohya-ss/sd-scripts (strategy_sd: encode_tokens_with_weights).
        """
        return hidden if self.weights is None else hidden * self.weights.unsqueeze(-1).to(hidden)


def plain_tokens(tokenizer: Any, captions: Sequence[str], *, max_tokens: int) -> Tokens:
    """Read captions as they are written."""
    return Tokens(tokenize(tokenizer, captions, max_tokens=max_tokens))


def weighted_tokens(tokenizer: Any, captions: Sequence[str], *, max_tokens: int) -> Tokens:
    """Read captions with the weights that brackets give to words; begin, end and padding weigh 1."""
    end, padding = tokenizer.eos_token_id, tokenizer.pad_token_id
    ids, weights = [], []
    for caption in captions:
        read = _weighted_ids(tokenizer, caption)[:max_tokens]
        rest = max_tokens - len(read)
        ids.append([tokenizer.bos_token_id, *(number for number, _ in read), end, *[padding] * rest])
        weights.append([1.0, *(weight for _, weight in read), *[1.0] * (rest + 1)])
    return Tokens(cut_windows(torch.tensor(ids), end=end, padding=padding), torch.tensor(weights))


def _weighted_ids(tokenizer: Any, caption: str) -> list[tuple[int, float]]:
    """Return each token of a caption, without begin and end, with its weight."""
    parts = weighted_parts(_readable(caption))
    read = [tokenizer(part.text, add_special_tokens=False, verbose=False)["input_ids"] for part in parts]
    return [(number, part.weight) for part, ids in zip(parts, read, strict=True) for number in ids]


def tokenize(tokenizer: Any, captions: Sequence[str], *, max_tokens: int) -> Tensor:
    """Return token ids (B, n, 77) in n windows of 75; ``max_tokens`` = 75 n.

    What does not fit is cut off. Every window begins with the begin token and has an end token.
    """
    encoded = tokenizer(
        [_readable(caption) for caption in captions],
        padding="max_length",
        max_length=max_tokens + 2,
        truncation=True,
        return_tensors="pt",
    )
    return cut_windows(encoded["input_ids"], end=tokenizer.eos_token_id, padding=tokenizer.pad_token_id)


def _readable(caption: str) -> str:
    # The name of a folder, which can stand in for a caption, may hold bytes that are no text.
    return caption.encode("utf-8", "replace").decode("utf-8")


def cut_windows(ids: Tensor, *, end: int, padding: int) -> Tensor:
    """Cut begin, 75 n tokens, end or padding (B, 75 n + 2) into windows (B, n, 77).

    Every window starts with the begin token. One that the text fills is closed with the end token; one
    that holds padding only gets the end token first. A single window stays as it is. ``padding`` may be the
    end token itself. Matches kohya-ss/sd-scripts (strategy_base: _get_input_ids).
    """
    if ids.shape[1] == TOKENS_PER_WINDOW + 2:
        return ids.unsqueeze(1)
    text = ids[:, 1:-1].unflatten(1, (-1, TOKENS_PER_WINDOW))
    first, last = (ids[:, None, at : at + 1].expand(-1, text.shape[1], -1) for at in (0, ids.shape[1] - 1))
    is_full = (text[..., -1:] != end) & (text[..., -1:] != padding)
    is_empty = text[..., :1] == padding
    return torch.cat(
        [first, text[..., :1].masked_fill(is_empty, end), text[..., 1:], last.masked_fill(is_full, end)],
        dim=2,
    )


def join_windows(states: Tensor) -> Tensor:
    """Join hidden states of n windows (B, n, 77, D) -> (B, 75 n + 2, D).

    The begin state is the first window's, the end state the last one's; those in between are left out.
    """
    return torch.cat([states[:, 0, :1], states[:, :, 1:-1].flatten(1, 2), states[:, -1, -1:]], dim=1)


def encode(encoder: nn.Module, ids: Tensor, *, skip: int) -> Tensor:
    """Return hidden states (B, 75 n + 2, D) of windows (B, n, 77), each encoded by itself.

    They are those of the layer ``skip`` from the end, through the final layer norm: 1 is the last layer,
    which Stable Diffusion 1.x was trained with; 2 is the usual "clip skip 2".

    Raises:
        ModelError: the encoder has fewer layers.
    """
    rows = ids.flatten(0, 1).to(_final_layer_norm(encoder).weight.device)
    return join_windows(_states(encoder, rows, skip=skip).unflatten(0, ids.shape[:2]))


def encode_before_last(encoder: nn.Module, ids: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return hidden states (B, 75 n + 2, D) of windows (B, n, 77), and the pooled text (B, P) or None.

    The states are those of the last layer but one, without the final layer norm, as SDXL reads them. An
    encoder with a projection pools the first window at its end token. Matches kohya-ss/sd-scripts
    (sdxl_train_util: get_hidden_states_sdxl).
    """
    rows = ids.flatten(0, 1).to(_final_layer_norm(encoder).weight.device)
    read = encoder(rows, output_hidden_states=True)
    hidden = join_windows(read.hidden_states[-2].unflatten(0, ids.shape[:2]))
    pooled = getattr(read, "text_embeds", None)
    return hidden, None if pooled is None else pooled.unflatten(0, ids.shape[:2])[:, 0]


def without_padding(hidden: Tensor, ids: Tensor, *, end: int) -> Tensor:
    """Return hidden states (B, 77, D) of token ids (B, 1, 77), zero behind the first end token.

    What is in front of it never looked at what follows.
    """
    is_end = ids[:, 0] == end
    is_padding = is_end.cumsum(dim=1) - is_end.long() > 0
    return hidden.masked_fill(is_padding[:, :, None].to(hidden.device), 0)


def pool(encoder: Any, ids: Tensor) -> Tensor:
    """Return the pooled text (B, P) of token ids (B, 77): the last layer at the end token."""
    return encoder(ids.to(_final_layer_norm(encoder).weight.device)).pooler_output


def _states(encoder: nn.Module, ids: Tensor, *, skip: int) -> Tensor:
    if skip == 1:
        return encoder(ids).last_hidden_state
    states = encoder(ids, output_hidden_states=True).hidden_states
    if not 1 <= skip < len(states):
        raise ModelError(
            f"`clip_skip` is {skip}, but the text encoder has {len(states) - 1} layers. "
            f"Set `clip_skip` to a number from 1 to {len(states) - 1}."
        )
    return _final_layer_norm(encoder)(states[-skip])


def _final_layer_norm(encoder: nn.Module) -> nn.LayerNorm:
    # transformers 5 dropped the level "text_model" that its version 4 has.
    return getattr(encoder, "text_model", encoder).final_layer_norm  # pyright: ignore[reportReturnType]


def enable_checkpointing(encoder: Any) -> None:
    """Recompute the activations of its layers in the backward pass."""
    # Our dropouts repeat their masks by themselves, so the global random state needs no saving.
    arguments = {"use_reentrant": False, "preserve_rng_state": False}
    if hasattr(encoder, "activation_checkpointing_enable"):  # transformers 5's name
        encoder.activation_checkpointing_enable(activation_checkpointing_kwargs=arguments)
    else:
        encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs=arguments)
    let_checkpoints_act(encoder)
