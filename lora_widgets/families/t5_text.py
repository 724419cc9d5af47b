"""Reading captions with T5's encoder, as SD3 and Flux do (Raffel et al. 2020, arXiv:1910.10683)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lora_widgets.families.family import TextEmbedding
from lora_widgets.families.parts import PartPlace
from lora_widgets.families.text_encoder import TextEncoder
from lora_widgets.families.tokenizer_files import TokenizerPlace

Reader = Callable[[Sequence[str]], TextEmbedding]


class T5:
    """T5 as it reads captions for a denoiser; it never learns, so what it reads can be kept.

    ``encoder`` is the model, which need not be loaded any more once ``answer_from`` was given what is kept.
    """

    def __init__(
        self, place: PartPlace, tokenizer_place: TokenizerPlace, *, max_tokens: int, is_masked: bool
    ) -> None:
        self._max_tokens, self._is_masked = max_tokens, is_masked
        facts = (max_tokens, is_masked)
        self.encoder = TextEncoder(place, tokenizer_place, facts=facts, adjust=keep_range)
        self._answer: Reader = self._read

    def __call__(self, captions: Sequence[str]) -> TextEmbedding:
        """Return its states (B, L, D) of captions, and a mask (B, L) where it does not look at padding."""
        return self._answer(captions)

    def answer_from(self, kept: Reader) -> None:
        """Let ``kept`` answer from now on instead of the model."""
        self._answer = kept

    @torch.no_grad()
    def _read(self, captions: Sequence[str]) -> TextEmbedding:
        encoder, tokenizer = self.encoder.in_memory()
        ids, mask = tokenize(tokenizer, captions, max_tokens=self._max_tokens)
        if not self._is_masked:
            return TextEmbedding(encode(encoder, ids, mask=None))
        states = encode(encoder, ids, mask=mask)
        return TextEmbedding(states, mask=mask.to(states.device))


def tokenize(tokenizer: Any, captions: Sequence[str], *, max_tokens: int) -> tuple[Tensor, Tensor]:
    """Return token ids (B, ``max_tokens``) and a mask of that shape, 1 for text and 0 for padding.

    The end token counts among them. What does not fit is cut off before it.
    """
    # The name of a folder, which can stand in for a caption, may hold bytes that are no text.
    readable = [caption.encode("utf-8", "replace").decode("utf-8") for caption in captions]
    encoded = tokenizer(
        readable, padding="max_length", max_length=max_tokens, truncation=True, return_tensors="pt"
    )
    return encoded["input_ids"], encoded["attention_mask"]


def encode(encoder: nn.Module, ids: Tensor, *, mask: Tensor | None) -> Tensor:
    """Return hidden states (B, L, D) of token ids (B, L), through the final norm, in the encoder's dtype.

    With a ``mask`` (B, L) the text does not look at padding. The denoisers were trained without one, so that
    the states of padding are part of what they read.
    """
    device = encoder.get_parameter("shared.weight").device
    # Autocast would bring the layers that are kept in float32 down again.
    with torch.autocast(device.type, enabled=False):
        return encoder(ids.to(device), attention_mask=None if mask is None else mask.to(device))[0]


def keep_range(encoder: nn.Module) -> None:
    """Let an fp16 encoder add up in float32 what outgrows fp16; does nothing for other formats.

    T5 was trained in bf16. Its feed-forward layers give numbers beyond 65504, and the sum that runs from
    layer to layer takes their format, so only those layers have to be wider.
    """
    for name, layer in encoder.named_modules():
        if name.endswith("DenseReluDense.wo") and layer.weight.dtype == torch.float16:
            layer.to(torch.float32)
