"""One part of a base model - transformer, autoencoder, text encoder - and loading it from where it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from lora_widgets.families.weights import Source, load_part


class PartPlace(Protocol):
    """Where one part of a base model is."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration of its class, in diffusers form."""
        ...

    @property
    def place(self) -> str:
        """The file, folder or hub name, for messages and metadata."""
        ...

    def load(self, kind: type[Any], *, device: torch.device | str, dtype: torch.dtype) -> Any:
        """Return a frozen ``kind`` in eval mode on ``device``; raises ModelError if it cannot be loaded."""
        ...


@dataclass(frozen=True)
class FolderPart:
    """A part in a folder of its own, below a diffusers folder or a hub name."""

    source: Source
    subfolder: str
    config: Mapping[str, Any]

    @property
    def place(self) -> str:
        """The folder or hub name of the model."""
        return self.source.place

    def load(self, kind: type[Any], *, device: torch.device | str, dtype: torch.dtype) -> Any:
        """Return a frozen ``kind`` in eval mode on ``device``.

        Raises:
            ModelError: the weights are missing, damaged, or cannot be fetched.
        """
        called = "dtype" if kind.__module__.startswith("transformers.") else "torch_dtype"
        return load_part(
            kind.from_pretrained, self.source, subfolder=self.subfolder, device=device, **{called: dtype}
        )
