"""What is in a folder, and in the folders below it: names and kinds only, no file is opened.

Hidden entries and those that other programs leave behind (``.ipynb_checkpoints``, ``__MACOSX``) do not exist
here.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from lora_widgets.data.headers import NOT_READ, read_extensions
from lora_widgets.data.image_file import Skipped
from lora_widgets.errors import DatasetError

IGNORED_PREFIXES = (".", "__MACOSX")
NO_FILE = "it is not a regular file (a broken link?); delete it or copy the picture itself"


@dataclass(frozen=True)
class Listing:
    """The visible entries of one folder, sorted by name.

    ``files`` are those that are no pictures, captions among them; ``links`` are those of the ``folders`` that
    are links; ``skipped`` are pictures of kinds that are not read, and what only has the name of a picture.
    """

    folder: Path
    pictures: tuple[str, ...]
    files: frozenset[str]
    folders: tuple[str, ...]
    links: frozenset[str]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class Tree:
    """A folder and perhaps those below it, the top one first.

    ``repeated`` are the folders that are in it, or beside it, under another name already: each is taken once.
    """

    listings: tuple[Listing, ...]
    repeated: tuple[Path, ...]
    unreadable: tuple[Skipped, ...]

    @property
    def num_pictures(self) -> int:
        """How many files have the name of a picture that can be read."""
        return sum(len(listing.pictures) for listing in self.listings)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """All that is left out, in all folders."""
        return (*(file for listing in self.listings for file in listing.skipped), *self.unreadable)


def list_folder(folder: Path) -> Listing:
    """Look at one folder.

    Raises:
        DatasetError: it may not be listed; the text is the reason, without the name.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise DatasetError(
            f"the folder cannot be listed ({error.strerror}); check its permissions, or move the pictures"
        ) from error
    kinds: dict[str, list[str]] = {"folder": [], "link": [], "picture": [], "file": []}
    skipped: list[Skipped] = []
    for entry in entries:
        if entry.name.startswith(IGNORED_PREFIXES):
            continue
        kind, reason = _kind(entry)
        name = entry.name.encode(errors="replace").decode()
        if kind and name != entry.name:
            reason = "its name is not valid text (UTF-8); rename it"
        if reason:
            skipped.append(Skipped(folder / name, reason))
        elif kind:
            kinds[kind].append(entry.name)
    return Listing(
        folder=folder,
        pictures=tuple(kinds["picture"]),
        files=frozenset(kinds["file"]),
        folders=tuple(sorted(kinds["folder"] + kinds["link"])),
        links=frozenset(kinds["link"]),
        skipped=tuple(skipped),
    )


def list_alone(folder: Path) -> Tree:
    """Look at one folder and none below it; raises ``DatasetError`` as ``list_folder`` does."""
    return Tree((list_folder(folder),), (), ())


def list_tree(folder: Path, seen: set[str]) -> Tree:
    """Look at a folder and all below it, through links too; ``seen`` are the real paths taken before.

    Each real folder is taken once, so links in a circle end; real folders come before links to them. ``seen``
    grows by what was found.

    Raises:
        DatasetError: ``folder`` itself may not be listed. One below it that may not is ``unreadable``.
    """
    listings = [list_folder(folder)]
    seen.add(os.path.realpath(folder))
    folders, links = _below(listings[0])
    repeated: list[Path] = []
    unreadable: list[Skipped] = []
    while folders or links:
        here = folders.pop() if folders else links.pop()
        real = os.path.realpath(here)
        if real in seen:
            repeated.append(here)
            continue
        seen.add(real)
        try:
            listings.append(list_folder(here))
        except DatasetError as error:
            unreadable.append(Skipped(here, str(error)))
            continue
        more_folders, more_links = _below(listings[-1])
        folders += more_folders
        links += more_links
    listings.sort(key=lambda listing: listing.folder.relative_to(folder).parts)
    return Tree(tuple(listings), tuple(sorted(repeated)), tuple(unreadable))


def _kind(entry: os.DirEntry[str]) -> tuple[str, str]:
    """Tell what an entry is, and why it is left out; both are empty for what is of no interest."""
    extension = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - a Path for each file costs time
    try:
        if entry.is_dir():
            return ("link" if entry.is_symlink() else "folder"), ""
        is_file = entry.is_file()
    except OSError as error:
        return "", f"it cannot be followed ({error.strerror}); delete the link or correct where it leads"
    if extension in NOT_READ - read_extensions():
        return "", f"{extension} pictures are not read; convert it to PNG or JPEG"
    if extension in read_extensions():
        return ("picture", "") if is_file else ("", NO_FILE)
    return ("file" if is_file else ""), ""


def _below(listing: Listing) -> tuple[list[Path], list[Path]]:
    """List the real folders and the links, the last by name first, as a stack wants them."""
    paths = [listing.folder / name for name in reversed(listing.folders)]
    links = [path for path in paths if path.name in listing.links]
    return [path for path in paths if path.name not in listing.links], links
