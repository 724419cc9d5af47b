"""Captions to what the denoiser reads: encoded live, or looked up where the text encoder's work is cached."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch

from lora_widgets.families.family import Family, TextEmbedding
from lora_widgets.training.precision import Precision

_AT_ONCE = 16


class LiveText:
    """Encodes captions as they come, with gradients where the text encoder trains."""

    def __init__(self, family: Family, precision: Precision, *, skip: int, trains: bool) -> None:
        self._family, self._precision, self._skip, self._trains = family, precision, skip, trains

    def __call__(self, captions: Sequence[str]) -> TextEmbedding:
        """Return embeddings of B captions on the training device."""
        with nullcontext() if self._trains else torch.no_grad():
            return self._family.encode_text(captions, skip=self._skip)

    def one(self, caption: str) -> TextEmbedding:
        """Return the embedding of one caption without gradients, in the training precision."""
        with torch.no_grad(), self._precision.computing():
            return self._family.encode_text([caption], skip=self._skip)


class CachedText:
    """Looks captions up that were all encoded before."""

    def __init__(self) -> None:
        self._rows: dict[str, TextEmbedding] = {}

    def fill(self, captions: Sequence[str], live: LiveText) -> Iterator[tuple[int, int]]:
        """Encode captions, some at once, and yield (done, total)."""
        yield 0, len(captions)
        for start in range(0, len(captions), _AT_ONCE):
            for caption in captions[start : start + _AT_ONCE]:
                self._rows[caption] = live.one(caption)
            yield min(start + _AT_ONCE, len(captions)), len(captions)

    def __call__(self, captions: Sequence[str]) -> TextEmbedding:
        """Return embeddings of B captions."""
        return TextEmbedding.cat([self._rows[caption] for caption in captions])

    def one(self, caption: str) -> TextEmbedding:
        """Return the embedding of one caption."""
        return self._rows[caption]
