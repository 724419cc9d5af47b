"""What training asks of a model family, and how to open one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.diffusion.process import NoiseProcess
from lora_widgets.families.autoencoder import Autoencoder
from lora_widgets.families.text_encoder import TextEncoders

if TYPE_CHECKING:
    from lora_widgets.families.t5_text import T5


@dataclass(frozen=True)
class TextEmbedding:
    """What the denoiser reads of B captions.

    ``hidden`` is (B, L, D); ``pooled`` is (B, P) and ``mask`` (B, L), or None where the family has none.
    ``guidance`` (B,) is how strongly to follow them, for models that are told it; None is as in training.
    """

    hidden: Tensor
    pooled: Tensor | None = None
    mask: Tensor | None = None
    guidance: Tensor | None = None

    def index(self, rows: slice | Sequence[int] | Tensor) -> "TextEmbedding":
        """Return the embeddings of some of the captions."""
        return TextEmbedding(*(None if t is None else t[rows] for t in self._tensors()))  # pyright: ignore[reportArgumentType]

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "TextEmbedding":
        """Return a copy on ``device``; ``dtype`` changes what encoders made, not the mask and guidance."""
        hidden = self.hidden.to(device, dtype)
        pooled = None if self.pooled is None else self.pooled.to(device, dtype)
        mask = None if self.mask is None else self.mask.to(device)
        guidance = None if self.guidance is None else self.guidance.to(device)
        return TextEmbedding(hidden, pooled, mask, guidance)

    def detach(self) -> "TextEmbedding":
        """Return the same values without their history."""
        return TextEmbedding(*(None if t is None else t.detach() for t in self._tensors()))  # pyright: ignore[reportArgumentType]

    @classmethod
    def cat(cls, parts: Sequence["TextEmbedding"]) -> "TextEmbedding":
        """Return one embedding of all captions, in order."""
        columns = zip(*(part._tensors() for part in parts), strict=True)
        return cls(*(None if column[0] is None else torch.cat(column) for column in columns))  # pyright: ignore[reportArgumentType]

    def _tensors(self) -> tuple[Tensor | None, ...]:
        return self.hidden, self.pooled, self.mask, self.guidance


def as_it_is(path: str) -> str:
    """Return a module's path unchanged, for parts whose modules are called the same in files."""
    return path


def alone(path: str) -> int:
    """Return the place of a module whose weight is no part of a larger one in files."""
    del path
    return 0


@dataclass(frozen=True)
class Root:
    """A loaded part an adapter can attach to, and what its modules are called in files.

    A name there is ``prefix`` and the module's path as ``path_in_files`` gives it. Modules with the same path
    there are one module in files, as q, k and v are in Flux: their rows are stacked in the order of
    ``place_in_files``. ``halves_swapped`` are paths here of modules whose second half of rows comes first in
    files.
    """

    module: nn.Module
    prefix: str
    path_in_files: Callable[[str], str] = as_it_is
    place_in_files: Callable[[str], int] = alone
    halves_swapped: frozenset[str] = frozenset()


class DropEncoders(Protocol):
    """Leaves out what single text encoders say."""

    @property
    def rates(self) -> tuple[float, ...]:
        """How often that happens to each of n encoders, from 0 to 1."""
        ...

    def __call__(self, text: TextEmbedding, chances: Tensor) -> TextEmbedding:
        """Return the text without the encoders whose ``chances`` (B, n) in [0, 1) are below their rate."""
        ...


class CropPositions(Protocol):
    """Reads the positions of the pictures of a training step elsewhere in the model's table of them."""

    def __call__(self, chances: Tensor) -> AbstractContextManager[None]:
        """Return the context of that step; ``chances`` (3,) in [0, 1) decide whether and where."""
        ...


class Family(Protocol):
    """An opened base model; its parts are loaded and unloaded one by one as phases come and go.

    ``text`` are all its text encoders, ``learners`` those that can learn, which ``text_encoders`` names: all
    but ``t5``. ``notes`` are sentences for the user about how its files and the settings go together.
    ``largest_side`` is the longest side of a picture in pixels that its table of positions reaches, None
    without such a table. ``drop_encoders`` leaves out of the text of a step what single encoders say, None
    where nothing is left out. ``crop_positions`` is None where positions are always read in the middle.
    """

    name: str
    text_encoders: tuple[str, ...]
    notes: tuple[str, ...]
    process: NoiseProcess
    vae: Autoencoder
    text: TextEncoders
    learners: TextEncoders
    largest_side: int | None
    drop_encoders: DropEncoders | None
    crop_positions: CropPositions | None
    weights_file: Path | None

    @property
    def t5(self) -> "T5 | None":
        """T5, where the family and the model have one."""
        ...

    def download(self) -> Iterator[tuple[int, int]]:
        """Fetch the weights that are not on this machine yet, part by part; yield (done, total) in MiB.

        Raises:
            ModelError: they cannot be fetched.
        """
        ...

    def load_denoiser(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load the denoiser, frozen."""
        ...

    def unload_denoiser(self) -> None:
        """Forget the denoiser and return its memory; nothing happens if it is not loaded."""
        ...

    def encode_text(self, captions: Sequence[str], *, skip: int) -> TextEmbedding:
        """Return what the denoiser reads; ``skip`` counts text layers from the end, 1 being the last.

        A family that was trained with one layer only reads that one, whatever ``skip`` is.
        """
        ...

    def predict(self, noisy: Tensor, times: Tensor, text: TextEmbedding, sizes: Tensor) -> Tensor:
        """Return the denoiser's estimate (B, C, h, w); precision (autocast) is the caller's.

        ``sizes`` (B, 6) are those of each picture in pixels: height and width of the original, top and left
        of the crop, height and width that are drawn. Families that were not trained with them ignore them.
        """
        ...

    def roots(self) -> dict[str, Root]:
        """Return the loaded parts an adapter can attach to, by component."""
        ...

    def enable_gradient_checkpointing(self, *, unet: bool, text_encoder: bool) -> None:
        """Recompute activations in the backward pass of the chosen loaded parts."""
        ...

    def identity(self) -> dict[str, str]:
        """Return what a saved file should say about its base model (metadata names and values)."""
        ...


def open_family(config: Any) -> Family:
    """Open the base model a configuration names, without loading weights.

    Raises:
        ModelError: the path is missing, is no model, or is another family.
    """
    module, _, name = FAMILIES[config.model_type].import_path.partition(":")
    return getattr(import_module(module), name)(config)
