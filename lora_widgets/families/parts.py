"""One part of a base model - UNet, autoencoder, text encoder - and loading it from where it is."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from lora_widgets.catalog.weight_files import QUANTISED, Shapes, kind_of
from lora_widgets.config.file_stamp import FileStamp, stamp_of
from lora_widgets.config.misplaced import PLAIN, SCALED
from lora_widgets.errors import ModelError
from lora_widgets.families import native_names
from lora_widgets.families.filling import complete, fill, store
from lora_widgets.families.native_names import Names, Rename
from lora_widgets.families.part_classes import PartClass
from lora_widgets.families.part_fit import cannot_be_renamed, fit_of
from lora_widgets.families.stored_linear import DENSE
from lora_widgets.families.weight_file import WeightFile, find_weight_file
from lora_widgets.families.weights import (
    Source,
    does_not_fit,
    downloading,
    first_of,
    load_part,
    refuse_missing_weights,
    weights_of,
    with_weights,
)


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

    @property
    def kind(self) -> PartClass:
        """Its class."""
        ...

    def origin(self) -> tuple[Sequence[FileStamp], object]:
        """Return what its weights are read from, the files on this machine, and what is read of them.

        Raises:
            OSError: a file is not there.
            ModelError: they cannot be fetched.
        """
        ...

    def check(self) -> None:
        """Look whether the files on this machine hold what the class asks for, by names and sizes.

        Raises:
            ModelError: they are missing, incomplete, or do not fit; told before anything is loaded.
        """
        ...

    def download(self) -> Iterator[tuple[int, int]]:
        """Fetch the weights if they are not on this machine, and yield (done, total) in MiB; then check them.

        Raises:
            ModelError: they cannot be fetched, or do not fit.
        """
        ...

    def load(self, *, device: torch.device | str, dtype: torch.dtype, stored_as: str = DENSE) -> Any:
        """Return the part, frozen and in eval mode on ``device``.

        ``stored_as`` (`BASE_WEIGHTS`) says how the weights of its large linear layers are kept.

        Raises:
            ModelError: it cannot be loaded.
        """
        ...


@dataclass(frozen=True)
class FolderPart:
    """A part in a folder of its own, below a diffusers folder or a hub name."""

    source: Source
    subfolder: str
    kind: PartClass
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

    def check(self) -> None:
        """Compare the headers of the files in a folder with the class; nothing is known of a hub name yet.

        Raises:
            ModelError: files are missing, were not copied whole, or do not fit the configuration.
        """
        if self.source.is_folder:
            refuse_missing_weights(self.source, self.subfolder)
            self._refuse_unfit()

    def download(self) -> Iterator[tuple[int, int]]:
        """Fetch the weights of a hub name, and yield (done, total) in MiB; compare what came with the class.

        Raises:
            ModelError: they cannot be fetched, or do not fit the configuration.
        """
        if not self.source.is_folder:
            yield from downloading(self.source, self.subfolder)
            self._refuse_unfit()

    def load(self, *, device: torch.device | str, dtype: torch.dtype, stored_as: str = DENSE) -> Any:
        """Return the part, frozen and in eval mode on ``device``.

        Filled tensor by tensor where the files name tensors as the class does. Other names, and quantised
        weights, are left to the library, which has more in memory meanwhile.

        Raises:
            ModelError: the weights are missing, damaged, or cannot be fetched.
        """
        model, files = self.kind.empty(self.config), self._files()
        if not files:  # they were there when the training began
            refuse_missing_weights(self.source, self.subfolder)
        fit = fit_of(model, native_names.of_folder(_shapes(files)))
        if not fit.wrong and not self._is_quantised:
            fill(model, files, fit.places, device=device, dtype=dtype, stored_as=stored_as)
            return complete(model, device)
        called = "dtype" if self.kind.is_of_transformers else "torch_dtype"
        model = load_part(
            self.kind.imported.from_pretrained,
            self.source,
            subfolder=self.subfolder,
            device=device,
            **{called: dtype},
        )
        for name, _ in list(model.named_parameters()):
            store(model, name, stored_as)
        return model

    @property
    def _is_quantised(self) -> bool:
        """Whether its weights have sizes or scales of their own, which the library understands."""
        return "quantization_config" in self.config

    def _refuse_unfit(self) -> None:
        """Make sure that the files fit, as far as their headers tell."""
        files = self._files()
        if not files or self._is_quantised:
            return
        shapes = _shapes(files)
        if kind_of(shapes).name == QUANTISED:
            raise ModelError(
                f"The {self.subfolder or 'autoencoder'} of the model in `{self.source.setting}` "
                f"({self.source.place}) has weight files {SCALED}. {PLAIN}"
            )
        unfit = partial(does_not_fit, self.source, self.subfolder)
        found = native_names.of_folder(shapes)
        wrong = cannot_be_renamed(fit_of(_built(self.kind, self.config, otherwise=unfit), found), found)
        if wrong:
            raise unfit(wrong)

    def _files(self) -> list[WeightFile]:
        """Open the files with the weights.

        Raises:
            ModelError: one of them is damaged, or holds program code.
        """
        found = weights_of(self.source, self.subfolder)
        try:
            opened = [find_weight_file(self.source.setting, str(path)) for path in found]
        except ModelError as error:
            raise ModelError(
                f"The {self.subfolder or 'autoencoder'} of the model in `{self.source.setting}` cannot be "
                f"loaded. {error}"
            ) from error
        return [file for file in opened if file is not None]


@dataclass(frozen=True)
class PartLayout:
    """How a part is in single files: its words, its class, where its names begin in a base model's.

    ``rename`` translates its names to those of the class.
    """

    words: str
    kind: PartClass
    start: str
    rename: Rename


@dataclass(frozen=True)
class FilePart:
    """A part that is in a single file, alone or among others; its ``layout`` knows its names there."""

    file: WeightFile
    layout: PartLayout
    config: Mapping[str, Any]

    @property
    def place(self) -> str:
        """The file."""
        return str(self.file.path)

    @property
    def kind(self) -> PartClass:
        """The class of its layout."""
        return self.layout.kind

    def origin(self) -> tuple[Sequence[FileStamp], object]:
        """Return the stamp of the file, and where the tensors were in it when it was opened.

        Raises:
            OSError: the file is not there any more.
        """
        opened = self.file.header.places if self.file.header else self.file.shapes
        reader = getattr(self.layout.rename, "__name__", "")
        return [stamp_of(self.file.path)], (reader, self.layout.start, sorted(opened.items()))

    def check(self) -> None:
        """Compare the header of the file with the class.

        Raises:
            ModelError: tensors are missing or of other sizes.
        """
        self._places(_built(self.layout.kind, self.config, otherwise=self._unfit))

    def download(self) -> Iterator[tuple[int, int]]:
        """Yield nothing: the file is here."""
        return iter(())

    def load(self, *, device: torch.device | str, dtype: torch.dtype, stored_as: str = DENSE) -> Any:
        """Return the part, frozen and in eval mode on ``device``, filled tensor by tensor.

        Beside the model itself only the tensor in hand is in memory.

        Raises:
            ModelError: tensors are missing or of other sizes, or the file cannot be read.
        """
        model = self.layout.kind.empty(self.config)
        places = self._places(model)
        fill(model, [self.file], places, device=device, dtype=dtype, stored_as=stored_as)
        return complete(model, device)

    def names(self) -> Names:
        """Return the places of its tensors in the file, by the names of its class.

        Raises:
            ModelError: the file has another layout.
        """
        try:
            return self.layout.rename(self.file.shapes, self.config)
        except (
            KeyError,
            IndexError,
            ValueError,
            RuntimeError,
        ) as error:  # conversions check nothing
            what = f"its layout is not that of its family ({type(error).__name__}: {error})"
            raise self._unfit([what]) from error

    def _places(self, model: nn.Module) -> Names:
        """Return for each tensor of the model its place in the file; all must be there and fit."""
        fit = fit_of(model, self.names())
        if fit.wrong:
            raise self._unfit(fit.wrong)
        return fit.places

    def _unfit(self, wrong: Sequence[str]) -> ModelError:
        return ModelError(
            f"The {self.layout.words} in `{self.file.setting}` ({self.place}) does not fit its "
            f"configuration: {first_of(wrong)}. If the file is complete, it is an unusual model: set "
            "`model_config_path` to the folder or JSON file with its configuration."
        )


def names_of_parts(denoiser: PartPlace, *, other_vae: PartPlace | None) -> dict[str, str]:
    """Return the metadata that names a model, and its autoencoder if it is another one."""
    names = {"ss_sd_model_name": Path(denoiser.place).name}
    return names if other_vae is None else names | {"ss_vae_name": Path(other_vae.place).name}


def check_parts(parts: Iterable[PartPlace]) -> None:
    """Look whether the files on this machine hold what each part asks for.

    Raises:
        ModelError: those of one do not.
    """
    for part in parts:
        part.check()


def _built(
    kind: PartClass, config: Mapping[str, Any], *, otherwise: Callable[[Sequence[str]], ModelError]
) -> nn.Module:
    """Return a model without memory; ``otherwise`` makes the error about a configuration that gives none."""
    try:
        return kind.without_memory(config)
    except Exception as error:  # the classes check little of what they are given, or in their own ways
        reason = " ".join(str(error).split()).rstrip(".")
        raise otherwise([f"no {kind.name} can be built of it ({reason})"]) from error


def _shapes(files: Iterable[WeightFile]) -> Shapes:
    return {name: shape for file in files for name, shape in file.shapes.items()}
