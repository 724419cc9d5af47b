"""Reading captions with a CLIP text encoder."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lora_widgets.errors import ModelError


def tokenize(tokenizer: Any, captions: Sequence[str]) -> Tensor:
    """Return token ids (B, 77): begin, text, end, padding; what does not fit is cut before the end token."""
    encoded = tokenizer(
        list(captions),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    return encoded["input_ids"]


def encode(encoder: nn.Module, ids: Tensor, *, skip: int) -> Tensor:
    """Return hidden states (B, L, D) of the layer ``skip`` from the end, through the final layer norm.

    ``skip`` 1 is the last layer, which Stable Diffusion 1.x was trained with; 2 is the usual "clip skip 2".

    Raises:
        ModelError: the encoder has fewer layers.
    """
    ids = ids.to(_final_layer_norm(encoder).weight.device)
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


def enable_checkpointing(encoder: Any, **arguments: bool) -> None:
    """Let the layers recompute activations; transformers 5 renamed the method and deprecates the old name."""
    if hasattr(encoder, "activation_checkpointing_enable"):
        encoder.activation_checkpointing_enable(activation_checkpointing_kwargs=arguments)
    else:
        encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs=arguments)
