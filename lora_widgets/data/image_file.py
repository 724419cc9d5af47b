"""What is known about one file of a data set: a picture to train on, or a file that is left out."""

from dataclasses import dataclass
from pathlib import Path

from lora_widgets.data.subset import Subset


@dataclass(frozen=True, slots=True)  # a data set can hold a hundred thousand
class ImageFile:
    """One picture: ``size`` is (width, height) as seen, ``captions`` has at least one line, perhaps empty.

    ``repeats`` are those in effect; ``mask`` is the file that says where to learn, None for everywhere.
    """

    path: Path
    size: tuple[int, int]
    captions: tuple[str, ...]
    repeats: int
    subset: Subset
    mask: Path | None = None

    @property
    def folder(self) -> str:
        """Name of the folder."""
        return self.subset.folder.name


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is not trained on, and why, with the remedy."""

    path: Path
    reason: str
