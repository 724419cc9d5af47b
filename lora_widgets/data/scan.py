"""Find the training pictures: which files, how large, which caption, how often per epoch.

Nothing is left out in silence: a file that cannot be used is named with the reason.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Protocol

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.dataset_file import read_dataset_file
from lora_widgets.data.image_file import ImageFile, Skipped
from lora_widgets.data.layout import Layout, LayoutSettings, find_layout, named
from lora_widgets.data.part_settings import PartSettings
from lora_widgets.data.regularisation import balance
from lora_widgets.data.source import read_source
from lora_widgets.errors import DatasetError

DEMO = "demo"


class ScanSettings(LayoutSettings, PartSettings, Protocol):
    """The settings that say where the pictures are."""

    @property
    def train_data_dir(self) -> str | PathLike[str]:
        """Folder of the pictures or of the numbered sub-folders, or "demo"."""
        ...

    @property
    def reg_data_dir(self) -> str | None:
        """Folder of the regularisation pictures, laid out in the same way."""
        ...

    @property
    def dataset_config(self) -> str | None:
        """TOML file that names folders with settings of their own, instead of the two above."""
        ...


@dataclass(frozen=True)
class Scan:
    """What was found.

    ``without_caption`` counts the pictures without any text. ``notes`` are sentences about the layout, the
    captions and the masks that the user should know. ``parts`` are the settings of each part, by number.
    """

    images: tuple[ImageFile, ...]
    skipped: tuple[Skipped, ...]
    without_caption: int
    notes: tuple[str, ...]
    parts: tuple[PartSettings, ...]


def scan(settings: ScanSettings) -> Scan:
    """Find every picture of the data set, in an order that only depends on the names.

    Raises:
        DatasetError: a folder or the dataset file is missing or cannot be read, or no picture can be used.
    """
    if settings.dataset_config:
        assert isinstance(settings, TrainingConfig), "a dataset file changes whole configurations"
        where = f"`dataset_config` is {settings.dataset_config}"
        layout, parts = read_dataset_file(Path(settings.dataset_config).expanduser(), settings)
    else:
        where = f"`train_data_dir` is {settings.train_data_dir}"
        layout, parts = _flat_layout(settings), (settings,)
    read = [read_source(source) for source in layout.sources]
    balanced = balance([image for found in read for image in found.images])
    result = Scan(
        images=balanced.images,
        skipped=(*layout.skipped, *(skipped for found in read for skipped in found.skipped)),
        without_caption=sum(not any(image.captions) for image in balanced.images),
        notes=_once((*layout.notes, *(note for found in read for note in found.notes), *balanced.notes)),
        parts=parts,
    )
    if not any(not image.subset.is_reg for image in result.images):
        raise DatasetError(_nothing_usable(where, result))
    return result


def _flat_layout(settings: ScanSettings) -> Layout:
    folder = _existing_folder(settings.train_data_dir, setting="train_data_dir")
    layout = find_layout(folder, settings, setting="train_data_dir")
    if not settings.reg_data_dir:
        return layout
    reg_folder = _existing_folder(settings.reg_data_dir, setting="reg_data_dir")
    if os.path.realpath(reg_folder) == os.path.realpath(folder):
        raise DatasetError(
            f"`reg_data_dir` is {reg_folder}, the same folder as `train_data_dir`. Set it to a folder with "
            "other pictures of the class, or leave it empty."
        )
    regular = find_layout(reg_folder, settings, setting="reg_data_dir")
    marked = (replace(source, subset=replace(source.subset, is_reg=True)) for source in regular.sources)
    return Layout(
        sources=(*layout.sources, *marked),
        skipped=(*layout.skipped, *regular.skipped),
        notes=(*layout.notes, *regular.notes),
    )


def _existing_folder(value: str | PathLike[str], *, setting: str) -> Path:
    if value == DEMO and setting == "train_data_dir":
        from lora_widgets.demo.paths import dataset_folder

        return dataset_folder()
    if not str(value).strip():
        raise DatasetError(f"`{setting}` is empty. Set it to the folder with your training pictures.")
    folder = Path(value).expanduser()
    if not folder.exists():
        raise DatasetError(
            f"`{setting}` is {folder}, which does not exist. "
            "Check the spelling, or upload the pictures first."
        )
    if not folder.is_dir():
        raise DatasetError(
            f"`{setting}` is {folder}, which is a file. Set it to the folder that holds the pictures."
        )
    return folder


def _once(notes: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(notes))


def _nothing_usable(where: str, result: Scan) -> str:
    reasons = named(f"{skipped.path.name}: {skipped.reason}" for skipped in result.skipped)
    return f"{where}, where no picture can be used. " + " ".join(
        part for part in (reasons, *result.notes) if part
    )
