"""Which folders are trained on, and how often: folder mode or flat mode.

Folder mode, when a direct sub-folder is called like ``10_cats`` and holds pictures: every such folder is a
subset, the number its repeats, the rest its class tokens (the caption of pictures without one). Otherwise the
pictures lie in the folder itself. Hidden files and folders (``.ipynb_checkpoints``) are ignored; what else is
left aside is named in a note.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lora_widgets.data.headers import read_extensions
from lora_widgets.data.subset import Subset, SubsetSettings
from lora_widgets.errors import DatasetError

NUMBERED = re.compile(r"(\d+)_(.*)")
IGNORED_PREFIXES = (".", "__MACOSX")
NAMES_SHOWN = 5


@dataclass(frozen=True)
class Layout:
    """The folders to train on, and sentences about what is left aside."""

    subsets: tuple[Subset, ...]
    notes: tuple[str, ...]


def find_layout(folder: Path, num_repeats: int, settings: SubsetSettings) -> Layout:
    """Decide between folder mode and flat mode; ``num_repeats`` is for folders without a number.

    ``settings`` are those that all subsets found here follow.

    Raises:
        DatasetError: there is no picture where pictures are looked for; the text says where some are.
    """
    children = [child for child in visible(folder) if child.is_dir()]
    with_pictures = [child for child in children if pictures_in(child)]
    own_pictures = pictures_in(folder)
    if any(NUMBERED.fullmatch(child.name) for child in with_pictures):
        subsets = [_subset(child, num_repeats, settings) for child in with_pictures]
        empty = [child for child in children if NUMBERED.fullmatch(child.name) and child not in with_pictures]
        kept = tuple(subset for subset in subsets if subset.repeats > 0)
        return Layout(kept, (*_subset_notes(subsets), *_aside_notes(own_pictures, empty)))
    if own_pictures:
        return Layout(
            (Subset(folder, num_repeats, "", settings),),
            _flat_mode_notes(folder, num_repeats, aside=with_pictures),
        )
    raise DatasetError(_no_pictures(folder, with_pictures))


def visible(folder: Path) -> list[Path]:
    """List the entries of a folder by name, without hidden ones.

    Raises:
        DatasetError: the folder may not be listed.
    """
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise DatasetError(
            f"The folder {folder} cannot be listed ({error.strerror}). "
            "Check its permissions, or move the pictures."
        ) from error
    return [entry for entry in entries if not entry.name.startswith(IGNORED_PREFIXES)]


def pictures_in(folder: Path) -> list[Path]:
    """List, by name, what has the extension of a picture, in any letter case."""
    return [
        path for path in visible(folder) if path.suffix.lower() in read_extensions() and not path.is_dir()
    ]


def named(names: Iterable[str]) -> str:
    """Join names for a message and cut a long list: ``a.png, b.png and 7 more``."""
    listed = list(names)
    shown = ", ".join(listed[:NAMES_SHOWN])
    return shown if len(listed) <= NAMES_SHOWN else f"{shown} and {len(listed) - NAMES_SHOWN} more"


def _subset(folder: Path, num_repeats: int, settings: SubsetSettings) -> Subset:
    match = NUMBERED.fullmatch(folder.name)
    if match is None:
        return Subset(folder, num_repeats, "", settings)
    return Subset(folder, int(match[1]), match[2].strip(), settings)


def _subset_notes(subsets: list[Subset]) -> list[str]:
    notes: list[str] = []
    for subset in subsets:
        name = subset.folder.name
        if subset.repeats < 1:
            notes.append(f"The folder {name} is left out: its name says 0 repeats. Rename it to use it.")
        elif NUMBERED.fullmatch(name) is None:
            notes.append(
                f"The folder {name} has no number of repeats in its name, so `num_repeats` "
                f"({subset.repeats}) is used."
            )
    return notes


def _aside_notes(own_pictures: list[Path], empty: list[Path]) -> list[str]:
    notes: list[str] = []
    if empty:
        notes.append(f"These folders hold no pictures: {named(child.name for child in empty)}.")
    if own_pictures:
        notes.append(
            f"{len(own_pictures)} pictures directly in `train_data_dir` are not used, because it has "
            f"numbered sub-folders: {named(path.name for path in own_pictures)}. "
            "Move them into a sub-folder to use them."
        )
    return notes


def _flat_mode_notes(folder: Path, num_repeats: int, *, aside: list[Path]) -> tuple[str, ...]:
    notes: list[str] = []
    match = NUMBERED.fullmatch(folder.resolve().name)
    if match and int(match[1]) != num_repeats:
        notes.append(
            f"The folder name {match[0]} says {match[1]} repeats, but `num_repeats` ({num_repeats}) counts. "
            "Set `train_data_dir` to the folder above it to use the number in the name."
        )
    if aside:
        notes.append(
            f"Pictures in these sub-folders are not used: {named(child.name for child in aside)}. "
            "Give them names such as 10_cats (repeats, underscore, words) to use them."
        )
    return tuple(notes)


def _no_pictures(folder: Path, unnumbered: list[Path]) -> str:
    kinds = ", ".join(sorted(extension.removeprefix(".") for extension in read_extensions()))
    message = f"`train_data_dir` is {folder}, where no pictures were found ({kinds}). "
    if unnumbered:
        return message + (
            f"Its sub-folders do hold some: {named(child.name for child in unnumbered)}. "
            "Set `train_data_dir` to one of them, or put the number of repeats in front of its name, "
            f"for example 10_{unnumbered[0].name}."
        )
    return message + "Set it to a folder that holds pictures, or to the parent of folders named like 10_cats."
