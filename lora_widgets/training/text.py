"""Captions to what the denoiser reads: encoded live, or looked up where the text encoder's work is cached."""

from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from hashlib import blake2b

import torch

from lora_widgets.data.order import chunks
from lora_widgets.data.tensor_store import Missing, TensorStore
from lora_widgets.families.family import Family, TextEmbedding
from lora_widgets.training.precision import Precision

REPORT_EVERY = 64


class LiveText:
    """Encodes captions as they come, with gradients where the text encoder trains."""

    def __init__(self, family: Family, precision: Precision, *, skip: int, trains: bool) -> None:
        self._family, self._precision, self._skip, self._trains = family, precision, skip, trains

    def __call__(self, captions: Sequence[str]) -> TextEmbedding:
        """Return embeddings of B captions on the training device."""
        with nullcontext() if self._trains else torch.no_grad():
            return self._family.encode_text(captions, skip=self._skip)

    def frozen(self, captions: Sequence[str]) -> TextEmbedding:
        """Return embeddings of B captions without gradients, in the training precision."""
        with torch.no_grad(), self._precision.computing():
            return self._family.encode_text(captions, skip=self._skip)

    def one(self, caption: str) -> TextEmbedding:
        """Return the embedding of one caption without gradients, in the training precision."""
        return self.frozen([caption])


class CachedText:
    """Looks captions up that were all encoded before; a caption that was edited is another one."""

    def __init__(self, store: TensorStore, device: torch.device) -> None:
        self._store, self._device = store, device

    def look_up(self, captions: Sequence[str]) -> Generator[tuple[int, int], None, Missing[str]]:
        """Find out which captions have to be encoded; yields (done, total) where there are cached ones."""
        missing, damaged = [], 0
        for index, caption in enumerate(captions):
            state = self._store.state_of(_name(caption))
            damaged += state == "damaged"
            if state != "whole":
                missing.append(caption)
            elif (index - len(missing)) % REPORT_EVERY == 0:
                yield index + 1, len(captions)
        if len(missing) < len(captions):
            yield len(captions), len(captions)
        return Missing(tuple(missing), damaged)

    def fill(
        self,
        captions: Sequence[str],
        encode: Callable[[Sequence[str]], TextEmbedding],
        *,
        batch_size: int,
    ) -> Generator[tuple[int, int], None, None]:
        """Encode captions, ``batch_size`` at once, and yield (done, total).

        Raises:
            CacheError: the disk is full, or the folder cannot be written.
        """
        yield 0, len(captions)
        if not captions:
            return
        done = 0
        with self._store.writing():
            for batch in chunks(captions, batch_size):
                embedding = encode(batch).to("cpu")
                for row, caption in enumerate(batch):
                    self._store.write(_name(caption), _tensors(embedding.index([row])))
                done += len(batch)
                yield done, len(captions)

    def __call__(self, captions: Sequence[str]) -> TextEmbedding:
        """Return embeddings of B captions on the training device."""
        rows = [TextEmbedding(**self._store.read(_name(caption))) for caption in captions]
        return TextEmbedding.cat(rows).to(self._device)

    def one(self, caption: str) -> TextEmbedding:
        """Return the embedding of one caption."""
        return self([caption])


def _name(caption: str) -> str:
    # Captions read from damaged files can hold lone surrogates.
    return blake2b(caption.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _tensors(embedding: TextEmbedding) -> dict[str, torch.Tensor]:
    found = {"hidden": embedding.hidden, "pooled": embedding.pooled, "mask": embedding.mask}
    return {name: tensor for name, tensor in found.items() if tensor is not None}
