"""Which folders are trained on, and how often: folder mode or flat mode.

Folder mode, when a direct sub-folder is called like ``10_cats`` and holds pictures: every such folder is a
subset, the number its repeats, the rest its class tokens (the caption of pictures without one). Otherwise the
pictures lie in the folder itself. With ``nested_folders`` each of these folders stands for all below it too.
What is left aside is named in a note.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lora_widgets.data.headers import read_extensions
from lora_widgets.data.image_file import Skipped
from lora_widgets.data.listing import Listing, Tree, list_alone, list_folder, list_tree
from lora_widgets.data.subset import Subset, SubsetSettings
from lora_widgets.errors import DatasetError

# As int() reads what is before the first underscore: sd-scripts takes folders with such names.
NUMBERED = re.compile(r"\s*([+-]?\d+)\s*_(.*)", re.DOTALL)
MAX_REPEATS = 100_000
NAMES_SHOWN = 5


class LayoutSettings(SubsetSettings, Protocol):
    """The settings of a folder of folders."""

    @property
    def num_repeats(self) -> int:
        """Repeats of pictures in folders without a number."""
        ...


@dataclass(frozen=True)
class Source:
    """A subset and the files of its folders."""

    subset: Subset
    tree: Tree


@dataclass(frozen=True)
class Layout:
    """What to train on, what cannot be looked at, and sentences about what is left aside."""

    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Children:
    """The direct sub-folders: their trees by name, links to folders known already, and the unreadable."""

    trees: dict[str, Tree]
    repeated: tuple[Path, ...]
    unreadable: tuple[Skipped, ...]

    @property
    def with_pictures(self) -> dict[str, Tree]:
        return {name: tree for name, tree in self.trees.items() if tree.num_pictures}

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What cannot be looked at, and what there is in place of pictures."""
        empty = [tree for tree in self.trees.values() if not tree.num_pictures]
        return (*self.unreadable, *(skipped for tree in empty for skipped in tree.skipped))


def find_layout(folder: Path, settings: LayoutSettings, *, setting: str) -> Layout:
    """Decide between folder mode and flat mode; ``setting`` is what the folder is called in messages.

    Raises:
        DatasetError: there is no picture where pictures are looked for; the text says where some are.
    """
    try:
        top = list_folder(folder)
    except DatasetError as error:
        raise DatasetError(f"`{setting}` is {folder}: {error}.") from error
    children = _children(top, settings)
    usable = children.with_pictures
    if any(repeats_of(name) is not None for name in usable):
        return _folder_mode(top, children, settings, setting=setting)
    if top.pictures or (usable and settings.nested_folders):
        return _flat_mode(top, children, settings, setting=setting)
    raise DatasetError(_no_pictures(top, children, settings, setting=setting))


def repeats_of(name: str) -> int | None:
    """Return the number of repeats in the name of a folder, None if there is none or it is a date or so."""
    match = NUMBERED.fullmatch(name)
    return int(match[1]) if match and int(match[1]) <= MAX_REPEATS else None


def tree_notes(tree: Tree) -> list[str]:
    """Say what of the folders below a subset is not used, or used otherwise than their names say."""
    top, *deeper = tree.listings
    notes: list[str] = []
    paths = [top.folder / name for name in top.folders if top.folder / name not in tree.repeated]
    if not deeper and (aside := [path.name for path in paths if _holds_pictures(path)]):
        notes.append(
            f"Pictures in these folders within {top.folder.name} are not used: {named(aside)}. "
            "Turn on `nested_folders` to use them, or move them up."
        )
    if numbered := [listing.folder.name for listing in deeper if repeats_of(listing.folder.name)]:
        notes.append(
            f"The numbers in the names of these folders have no effect: {named(numbered)}. "
            "Only a folder directly in the dataset folder sets repeats by its name."
        )
    return [*notes, *_repeated_notes(tree.repeated)]


def prefix_note(folder: Path, num_repeats: int) -> list[str]:
    """Say that the number in the name of a folder does not count, if it differs from the one that does."""
    name = folder.resolve().name
    if repeats_of(name) in (None, num_repeats):
        return []
    return [
        f"The folder name {name} says {repeats_of(name)} repeats, but `num_repeats` ({num_repeats}) counts."
    ]


def named(names: Iterable[str]) -> str:
    """Join names for a message and cut a long list: ``a.png, b.png and 7 more``."""
    listed = list(names)
    shown = ", ".join(listed[:NAMES_SHOWN])
    return shown if len(listed) <= NAMES_SHOWN else f"{shown} and {len(listed) - NAMES_SHOWN} more"


def counted(number: int) -> str:
    """Write a number of pictures: ``1 picture``, ``2 pictures``."""
    return "1 picture" if number == 1 else f"{number} pictures"


def _children(top: Listing, settings: LayoutSettings) -> _Children:
    """Look at the direct sub-folders, each real one once: first those that are no links."""
    paths = [top.folder / name for name in top.folders]
    ordered = sorted(paths, key=lambda path: path.name in top.links)
    seen = {os.path.realpath(path) for path in (top.folder, *paths) if path.name not in top.links}
    trees: dict[str, Tree] = {}
    repeated: list[Path] = []
    unreadable: list[Skipped] = []
    for path in ordered:
        if path.name in top.links and os.path.realpath(path) in seen:
            repeated.append(path)
            continue
        seen.add(os.path.realpath(path))
        try:
            trees[path.name] = list_tree(path, seen) if settings.nested_folders else list_alone(path)
        except DatasetError as error:
            unreadable.append(Skipped(path, str(error)))
    return _Children(dict(sorted(trees.items())), tuple(repeated), tuple(unreadable))


def _folder_mode(top: Listing, children: _Children, settings: LayoutSettings, *, setting: str) -> Layout:
    sources = [
        Source(_subset(top.folder / name, settings), tree) for name, tree in children.with_pictures.items()
    ]
    kept = tuple(source for source in sources if source.subset.repeats > 0)
    empty = [name for name, tree in children.trees.items() if repeats_of(name) and not tree.num_pictures]
    notes = [
        *(note for source in sources for note in _subset_notes(source.subset)),
        *_empty_notes(empty),
        *_loose_notes(top.pictures, setting),
        *(note for source in kept for note in tree_notes(source.tree)),
        *_repeated_notes(children.repeated),
    ]
    return Layout(kept, (*top.skipped, *children.skipped), tuple(notes))


def _flat_mode(top: Listing, children: _Children, settings: LayoutSettings, *, setting: str) -> Layout:
    subset = Subset(top.folder, settings.num_repeats, "", settings)
    notes = prefix_note(top.folder, settings.num_repeats)
    if notes:
        notes[0] += f" Set `{setting}` to the folder above it to use the number in the name."
    if settings.nested_folders:
        tree = _joined(top, children)
        return Layout((Source(subset, tree),), children.unreadable, (*notes, *tree_notes(tree)))
    if children.with_pictures:
        notes.append(
            f"Pictures in these sub-folders are not used: {named(children.with_pictures)}. Give them names "
            "such as 10_cats (repeats, underscore, words) to use them, or turn on `nested_folders`."
        )
    notes += _repeated_notes(children.repeated)
    return Layout((Source(subset, Tree((top,), (), ())),), children.unreadable, tuple(notes))


def _joined(top: Listing, children: _Children) -> Tree:
    trees = children.trees.values()
    return Tree(
        listings=(top, *(listing for tree in trees for listing in tree.listings)),
        repeated=(*children.repeated, *(path for tree in trees for path in tree.repeated)),
        unreadable=tuple(skipped for tree in trees for skipped in tree.unreadable),
    )


def _subset(folder: Path, settings: LayoutSettings) -> Subset:
    repeats, match = repeats_of(folder.name), NUMBERED.fullmatch(folder.name)
    if repeats is None or match is None:
        return Subset(folder, settings.num_repeats, "", settings)
    return Subset(folder, repeats, match[2].strip(), settings)


def _holds_pictures(folder: Path) -> bool:
    try:
        return bool(list_folder(folder).pictures)
    except DatasetError:  # not trained on in any case
        return False


def _subset_notes(subset: Subset) -> list[str]:
    name = subset.folder.name
    if subset.repeats < 1:
        return [
            f"The folder {name} is left out: its name says {subset.repeats} repeats. Rename it to use it."
        ]
    if repeats_of(name) is not None:
        return []
    if NUMBERED.fullmatch(name):
        reason = f"begins with a number above {MAX_REPEATS}, which cannot be meant as repeats"
    else:
        reason = "has no number of repeats in its name"
    return [f"The folder {name} {reason}, so `num_repeats` ({subset.repeats}) is used."]


def _empty_notes(names: list[str]) -> list[str]:
    return [f"These folders hold no pictures: {named(names)}."] if names else []


def _loose_notes(pictures: tuple[str, ...], setting: str) -> list[str]:
    if not pictures:
        return []
    return [
        f"Pictures directly in `{setting}` are not used, because it has numbered sub-folders: "
        f"{named(pictures)}. Move them into a sub-folder to use them."
    ]


def _repeated_notes(repeated: tuple[Path, ...]) -> list[str]:
    if not repeated:
        return []
    return [
        "These links are not followed, because they lead to folders that are looked at already: "
        f"{named(str(path) for path in repeated)}."
    ]


def _no_pictures(top: Listing, children: _Children, settings: LayoutSettings, *, setting: str) -> str:
    kinds = ", ".join(sorted(extension.removeprefix(".") for extension in read_extensions()))
    message = f"`{setting}` is {top.folder}, where no pictures were found ({kinds}). "
    if unusable := (*top.skipped, *children.skipped):
        message += f"What cannot be used: {named(f'{file.path.name}: {file.reason}' for file in unusable)}. "
    if unnumbered := list(children.with_pictures):
        return message + (
            f"Its sub-folders do hold some: {named(unnumbered)}. Set `{setting}` to one of them, or put the "
            f"number of repeats in front of its name, for example 10_{unnumbered[0]}."
        )
    message += "Set it to a folder that holds pictures, or to the parent of folders named like 10_cats."
    if children.trees and not settings.nested_folders:
        message += " With `nested_folders` on, folders further down are searched too."
    return message
