"""The text encoders of a base model, each with its tokenizer."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import torch
from torch import nn

from lora_widgets.errors import ModelError
from lora_widgets.families.fingerprint import DIGEST_BYTES, fingerprint, origin
from lora_widgets.families.in_memory import free_memory, loaded
from lora_widgets.families.parts import PartPlace
from lora_widgets.families.tokenizer_files import TokenizerPlace


def as_loaded(encoder: nn.Module) -> None:
    """Leave an encoder as it is."""
    del encoder


class TextEncoder:
    """One text encoder of a base model; ``model`` and ``tokenizer`` are None until they are loaded.

    ``facts`` are about how it reads captions, beside its tokenizer; ``adjust`` changes the model once loaded.
    """

    def __init__(
        self,
        place: PartPlace,
        tokenizer_place: TokenizerPlace,
        *,
        facts: tuple[object, ...] = (),
        adjust: Callable[[nn.Module], None] = as_loaded,
    ) -> None:
        self._place, self._tokenizer_place = place, tokenizer_place
        self._own_facts, self._adjust = facts, adjust
        self.model: Any = None
        self.tokenizer: Any = None

    def load(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load the encoder, frozen, and its tokenizer.

        Raises:
            ModelError: one of them cannot be loaded.
        """
        self.tokenizer = self._tokenizer_place.load()
        self.model = self._place.load(device=device, dtype=dtype)
        self._adjust(self.model)

    def in_memory(self) -> tuple[Any, Any]:
        """Return the encoder and its tokenizer, which must be loaded."""
        return loaded(self.model, "text encoder"), self.tokenizer

    def unload(self) -> None:
        """Forget both and return their memory; nothing happens if they are not loaded."""
        self.model = self.tokenizer = None
        free_memory()

    def origin(self, dtype: torch.dtype) -> str | None:
        """Return what tells this encoder in ``dtype`` from others without loading it, None if nothing."""
        try:
            facts = self._facts()
        except ModelError:  # loading tells what is wrong
            return None
        return origin(self._place, dtype=dtype, facts=facts)

    def fingerprint(self) -> str:
        """Return a hash of all that decides the outputs of the loaded encoder."""
        return fingerprint(loaded(self.model, "text encoder"), self._place.config, self._facts())

    def _facts(self) -> tuple[object, ...]:
        return self._place.kind.name, self._tokenizer_place.fingerprint(), *self._own_facts


class TextEncoders:
    """All text encoders of a base model, which come and go together."""

    def __init__(self, encoders: Sequence[TextEncoder]) -> None:
        self._encoders = tuple(encoders)

    def load(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load them, frozen, and their tokenizers.

        Raises:
            ModelError: one of them cannot be loaded.
        """
        for encoder in self._encoders:
            encoder.load(device, dtype)

    def unload(self) -> None:
        """Forget them and return their memory; nothing happens if they are not loaded."""
        for encoder in self._encoders:
            encoder.unload()

    def origin(self, dtype: torch.dtype) -> str | None:
        """Return what tells these encoders in ``dtype`` from others without loading them, None if nothing."""
        origins = [encoder.origin(dtype) for encoder in self._encoders]
        known = [origin for origin in origins if origin is not None]
        return _joined(known) if len(known) == len(origins) else None

    def fingerprint(self) -> str:
        """Return a hash of all that decides the outputs of the loaded encoders."""
        return _joined([encoder.fingerprint() for encoder in self._encoders])


def _joined(hashes: Sequence[str]) -> str:
    return blake2b(" ".join(hashes).encode(), digest_size=DIGEST_BYTES).hexdigest()
