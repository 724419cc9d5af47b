"""One part of a base model - UNet, autoencoder, text encoder - and loading it from where it is."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lora_widgets.catalog.weight_files import Shapes
from lora_widgets.config.file_stamp import FileStamp, stamp_of
from lora_widgets.errors import ModelError
from lora_widgets.families.in_memory import give_back_pages
from lora_widgets.families.native_names import Names, Rename
from lora_widgets.families.stored_linear import DENSE, StoredLinear, is_stored
from lora_widgets.families.weight_file import WeightFile, find_weight_file
from lora_widgets.families.weights import (
    Source,
    downloading,
    load_part,
    refuse_missing_weights,
    safetensors_of,
    with_weights,
)

_GIVE_BACK_EVERY = 32 * 2**20
"""Bytes; with 128 MiB, an autoencoder of 167 MB took 239 MB while it was read into another format."""


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

    def origin(self) -> tuple[Sequence[FileStamp], object]:
        """Return what its weights are read from, the files on this machine, and what is read of them.

        Raises:
            OSError: a file is not there.
            ModelError: they cannot be fetched.
        """
        ...

    def download(self) -> Iterator[tuple[int, int]]:
        """Fetch the weights if they are not on this machine, and yield (done, total) in MiB.

        Raises:
            ModelError: they cannot be fetched, or what is here is incomplete: told before anything is loaded.
        """
        ...

    def load(
        self, kind: type[Any], *, device: torch.device | str, dtype: torch.dtype, stored_as: str = DENSE
    ) -> Any:
        """Return a frozen ``kind`` in eval mode on ``device``; raises ModelError if it cannot be loaded.

        ``stored_as`` (`BASE_WEIGHTS`) says how the weights of its large linear layers are kept.
        """
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

    def origin(self) -> tuple[Sequence[FileStamp], object]:
        """Return the stamps of all files in its folder: which of them count is left to the libraries.

        Raises:
            OSError: the folder is not there.
            ModelError: the weights cannot be fetched.
        """
        found = sorted((with_weights(self.source, self.subfolder) / self.subfolder).iterdir())
        return [stamp_of(path) for path in found if path.is_file()], self.subfolder

    def download(self) -> Iterator[tuple[int, int]]:
        """Fetch the weights of a hub name, and yield (done, total) in MiB; of a folder look at their headers.

        Raises:
            ModelError: they cannot be fetched, are missing, or were not copied whole.
        """
        yield from downloading(self.source, self.subfolder)
        if self.source.is_folder:
            refuse_missing_weights(self.source, self.subfolder)
            self._files()

    def load(
        self, kind: type[Any], *, device: torch.device | str, dtype: torch.dtype, stored_as: str = DENSE
    ) -> Any:
        """Return a frozen ``kind`` in eval mode on ``device``.

        Filled tensor by tensor where the files name tensors as the class does. Older names, and formats other
        than safetensors, are left to the library, which has more in memory meanwhile.

        Raises:
            ModelError: the weights are missing, damaged, or cannot be fetched.
        """
        model, files = empty_model(kind, self.config), self._files()
        if names := _same_names(
            model, {name: shape for file in files for name, shape in file.shapes.items()}
        ):
            for file in files:
                for name, tensor in _with_room(file.read(names.keys() & file.shapes.keys())):
                    _put(model, names[name], tensor, device=device, dtype=dtype)
                    _store(model, names[name], stored_as)
            return _complete(model, device)
        called = "dtype" if _is_of_transformers(kind) else "torch_dtype"
        model = load_part(
            kind.from_pretrained, self.source, subfolder=self.subfolder, device=device, **{called: dtype}
        )
        for name, _ in list(model.named_parameters()):
            _store(model, name, stored_as)
        return model

    def _files(self) -> list[WeightFile]:
        """Open the files with the weights; none where they are in another format.

        Raises:
            ModelError: one of them is damaged.
        """
        found = safetensors_of(self.source, self.subfolder)
        try:
            opened = [find_weight_file(self.source.setting, str(path)) for path in found]
        except ModelError as error:
            raise ModelError(
                f"The {self.subfolder} of the model in `{self.source.setting}` cannot be loaded. {error}"
            ) from error
        return [file for file in opened if file is not None]


@dataclass(frozen=True)
class FilePart:
    """A part that is in a single file, alone or among others; ``rename`` knows its names there."""

    file: WeightFile
    part: str
    config: Mapping[str, Any]
    rename: Rename

    @property
    def place(self) -> str:
        """The file."""
        return str(self.file.path)

    def origin(self) -> tuple[Sequence[FileStamp], object]:
        """Return the stamp of the file, and where the tensors were in it when it was opened.

        Raises:
            OSError: the file is not there any more.
        """
        opened = self.file.header.places if self.file.header else self.file.shapes
        return [stamp_of(self.file.path)], (self._reader, sorted(opened.items()))

    def download(self) -> Iterator[tuple[int, int]]:
        """Yield nothing: the file is here."""
        return iter(())

    def load(
        self, kind: type[Any], *, device: torch.device | str, dtype: torch.dtype, stored_as: str = DENSE
    ) -> Any:
        """Return a frozen ``kind`` in eval mode on ``device``, filled tensor by tensor.

        Beside the model itself only the tensor in hand is in memory.

        Raises:
            ModelError: tensors are missing or of other sizes, or the file cannot be read.
        """
        model = empty_model(kind, self.config)
        places = self._places(model)
        inside: dict[str, list[str]] = {}
        for name, piece in places.items():
            inside.setdefault(piece.name, []).append(name)
        for source, tensor in _with_room(self.file.read(inside)):
            for name in inside[source]:
                _put(model, name, places[name].cut(tensor), device=device, dtype=dtype)
                _store(model, name, stored_as)
        return _complete(model, device)

    @property
    def _reader(self) -> str:
        return getattr(self.rename, "__name__", "")

    def _places(self, model: nn.Module) -> Names:
        """Return for each tensor of the model its place in the file; all must be there and fit."""
        renamed, places, wrong = self._renamed(), {}, []
        for name, tensor in model.state_dict().items():
            piece = renamed.get(name) or renamed.get(name.removeprefix("text_model."))
            if piece is None:
                wrong.append(f"{name} is missing")
            elif not _fits(piece.shape, tuple(tensor.shape)):
                sizes = " x ".join(map(str, piece.shape))
                wrong.append(f"{piece.name} is {sizes}, not {' x '.join(map(str, tensor.shape))}")
            else:
                places[name] = piece
        if wrong:
            raise _unfit(self, wrong)
        return places

    def _renamed(self) -> Names:
        try:
            return self.rename(self.file.shapes, self.config)
        except (
            KeyError,
            IndexError,
            ValueError,
            RuntimeError,
        ) as error:  # conversions check nothing
            what = f"its layout is not that of its family ({type(error).__name__}: {error})"
            raise _unfit(self, [what]) from error


def empty_model(kind: type[Any], config: Mapping[str, Any]) -> nn.Module:
    """Return a ``kind`` whose parameters have shapes and no memory; what it computes itself is there."""
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False), _quiet_config():
        if _is_of_transformers(kind):
            return kind(kind.config_class.from_dict(dict(config)))
        return kind.from_config(dict(config))


def _with_room(tensors: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Pass tensors on, and give back now and then what their first forms took: it does not fit the next."""
    taken = 0
    for name, tensor in tensors:
        yield name, tensor
        taken += tensor.nbytes
        if taken >= _GIVE_BACK_EVERY:
            give_back_pages()
            taken = 0


def _complete(model: nn.Module, device: torch.device | str) -> nn.Module:
    """Move the buffers that a model computes itself, which no file holds, and freeze it."""
    give_back_pages()
    for name, buffer in list(model.named_buffers()):
        if buffer.device != torch.device(device):
            _put(model, name, buffer, device=device, dtype=buffer.dtype)
    if _is_of_transformers(type(model)):  # of two names for one tensor each got its own
        model.tie_weights()  # pyright: ignore[reportCallIssue]
    return model.requires_grad_(requires_grad=False).eval()


def _same_names(model: nn.Module, shapes: Shapes) -> dict[str, str]:
    """Return the model's name of each tensor in its files; empty where one is missing or of another size.

    transformers 5 dropped the level "text_model" that its version 4 writes.
    """
    known = {name.removeprefix("text_model."): name for name in shapes}
    found: dict[str, str] = {}
    for name, tensor in model.state_dict().items():
        source = known.get(name.removeprefix("text_model."))
        if source is None or shapes[source] != tuple(tensor.shape):
            return {}
        found[source] = name
    return found


@contextmanager
def _quiet_config() -> Iterator[None]:
    """Let no library comment on configurations, which name options of all versions."""
    from diffusers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _put(
    model: nn.Module, name: str, tensor: Tensor, *, device: torch.device | str, dtype: torch.dtype
) -> None:
    path, _, leaf = name.rpartition(".")
    owner = model.get_submodule(path)
    old = getattr(owner, leaf)
    kept = dtype if old.is_floating_point() else old.dtype
    value = tensor.reshape(old.shape).to(device, kept).contiguous()
    setattr(owner, leaf, nn.Parameter(value, requires_grad=False) if isinstance(old, nn.Parameter) else value)


def _store(model: nn.Module, name: str, how: str) -> None:
    """Keep the weight of a linear layer in fewer bits once the layer is complete."""
    path, _, _ = name.rpartition(".")
    layer = model.get_submodule(path)
    if not is_stored(path, layer, how=how) or any(tensor.is_meta for tensor in layer.parameters()):
        return
    parent, _, leaf = path.rpartition(".")
    stored = StoredLinear(layer.weight, layer.bias, how=how)  # pyright: ignore[reportArgumentType]
    setattr(model.get_submodule(parent), leaf, stored)


def _fits(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Tell whether two shapes are one but for sizes of 1 at the end: 1 x 1 convolutions and linear layers."""
    while len(found) > len(wanted) and found[-1] == 1:
        found = found[:-1]
    return found == wanted and prod(found) == prod(wanted)


def _unfit(part: FilePart, wrong: list[str]) -> ModelError:
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return ModelError(
        f"The {part.part} in `{part.file.setting}` ({part.file.path}) does not fit its configuration: "
        f"{wrong[0]}{more}. If the file is complete, it is an unusual model: set `model_config_path` to the "
        "folder or JSON file with its configuration."
    )


def _is_of_transformers(kind: type[Any]) -> bool:
    return kind.__module__.startswith("transformers.")
