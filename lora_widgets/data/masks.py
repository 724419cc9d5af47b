"""The mask of each picture: the file of the same name in the mask folder, with any picture's extension."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from lora_widgets.data.image_file import ImageFile
from lora_widgets.data.layout import counted, named
from lora_widgets.data.listing import Listing, list_folder
from lora_widgets.errors import DatasetError


class MaskNames:
    """The masks of a subset: looked for under the picture's folder, as seen from the mask folder, then in it.

    A picture ``10_cat/deep/a.png`` has the mask ``10_cat/deep/a.*``, ``deep/a.*`` or ``a.*``.

    Args:
        folder: the mask folder.
        subset: the folder of the subset.

    Raises:
        DatasetError: there is no such folder, or it may not be listed.
    """

    def __init__(self, folder: Path, subset: Path) -> None:
        if not folder.is_dir():
            raise DatasetError(
                f"`mask_data_dir` is {folder}, which is no folder. Correct the path, or leave it empty to "
                "learn from whole pictures."
            )
        self._folder, self._subset = folder, subset
        self._stems: dict[Path, dict[str, str]] = {}

    def below(self, listing: Listing) -> dict[str, Path]:
        """Return the mask of each stem that a picture of this folder may have.

        Raises:
            DatasetError: the mask folder is the folder of the pictures.
        """
        relative = listing.folder.relative_to(self._subset)
        places = (self._folder / self._subset.name / relative, self._folder / relative, self._folder)
        found: dict[str, Path] = {}
        for place in reversed(dict.fromkeys(places)):
            if not place.is_dir():
                continue
            if os.path.realpath(place) == os.path.realpath(listing.folder):
                raise DatasetError(
                    f"`mask_data_dir` leads to {place}, which holds the pictures themselves, so each would "
                    "be its own mask. Put the masks into a folder of their own."
                )
            found |= {stem: place / name for stem, name in self._stems_in(place).items()}
        return found

    def _stems_in(self, place: Path) -> dict[str, str]:
        if place not in self._stems:
            try:
                listing = list_folder(place)
            except DatasetError as error:
                raise DatasetError(f"`mask_data_dir`: {place}: {error}.") from error
            self._stems[place] = {name.rpartition(".")[0]: name for name in reversed(listing.pictures)}
        return self._stems[place]


def mask_notes(folder: Path, images: Sequence[ImageFile]) -> list[str]:
    """Say which pictures have no mask, and which have one together."""
    without = [image.path.name for image in images if image.mask is None]
    notes: list[str] = []
    if images and len(without) == len(images):
        first = images[0].path
        notes.append(
            f"No picture of {images[0].folder} has a mask in {folder}, so all of them count whole. The mask "
            f"of {first.name} would be called {first.stem}.png."
        )
    elif without:
        notes.append(f"No mask for {counted(len(without))}, which count whole: {named(without)}.")
    return [*notes, *_shared_notes(images)]


def alpha_notes(opaque: Sequence[str], images: Sequence[ImageFile]) -> list[str]:
    """Say which pictures have no alpha channel, where it serves as a mask."""
    if not opaque:
        return []
    if len(opaque) == len(images):
        return [
            f"`alpha_mask` is on, but no picture of {images[0].folder} has transparency, so all count whole."
        ]
    return [
        f"No transparency for `alpha_mask` in {counted(len(opaque))}, which count whole: {named(opaque)}."
    ]


def _shared_notes(images: Iterable[ImageFile]) -> list[str]:
    users: defaultdict[Path, list[str]] = defaultdict(list)
    for image in images:
        if image.mask is not None:
            users[image.mask].append(image.path.name)
    shared = [f"{mask.name} for {' and '.join(names)}" for mask, names in users.items() if len(names) > 1]
    if not shared:
        return []
    return [
        f"Several pictures share a mask: {named(shared)}. Put the masks into sub-folders named like those of "
        "the pictures if they are different."
    ]
