"""Find the training pictures: which files, how large, which caption, how often per epoch.

Nothing is left out in silence: a file that cannot be used is named with the reason.
"""

from collections import defaultdict
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Protocol

from lora_widgets.data.caption_files import read_caption_file
from lora_widgets.data.headers import NOT_READ, picture_size, read_extensions
from lora_widgets.data.layout import find_layout, named, pictures_in, visible
from lora_widgets.data.subset import Subset, SubsetSettings
from lora_widgets.errors import DatasetError

DEMO = "demo"


class ScanSettings(SubsetSettings, Protocol):
    """The settings that say where the pictures are."""

    @property
    def train_data_dir(self) -> str | PathLike[str]:
        """Folder of the pictures or of the numbered sub-folders, or "demo"."""
        ...

    @property
    def num_repeats(self) -> int:
        """Repeats of pictures in folders without a number."""
        ...


@dataclass(frozen=True)
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
    """A file that is not trained on, and why, with the remedy."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Scan:
    """What was found; ``notes`` are sentences about the layout and the captions that the user should know."""

    images: tuple[ImageFile, ...]
    skipped: tuple[Skipped, ...]
    without_caption: int
    notes: tuple[str, ...]


def scan(settings: ScanSettings) -> Scan:
    """Find every picture below ``train_data_dir``, in an order that only depends on the names.

    Raises:
        DatasetError: the folder is missing, or holds no picture that can be used.
    """
    folder = _existing_folder(settings.train_data_dir)
    layout = find_layout(folder, settings.num_repeats, settings)
    parts = [_scan_subset(subset) for subset in layout.subsets]
    result = Scan(
        images=tuple(image for part in parts for image in part.images),
        skipped=tuple(skipped for part in parts for skipped in part.skipped),
        without_caption=sum(part.without_caption for part in parts),
        notes=(*layout.notes, *(note for part in parts for note in part.notes)),
    )
    if not result.images:
        raise DatasetError(_nothing_usable(folder, result))
    return result


def _existing_folder(setting: str | PathLike[str]) -> Path:
    if setting == DEMO:
        from lora_widgets.demo.paths import dataset_folder

        return dataset_folder()
    if not str(setting).strip():
        raise DatasetError("`train_data_dir` is empty. Set it to the folder with your training pictures.")
    folder = Path(setting).expanduser()
    if not folder.exists():
        raise DatasetError(
            f"`train_data_dir` is {folder}, which does not exist. "
            "Check the spelling, or upload the pictures first."
        )
    if not folder.is_dir():
        raise DatasetError(
            f"`train_data_dir` is {folder}, which is a file. Set it to the folder that holds the pictures."
        )
    return folder


def _scan_subset(subset: Subset) -> Scan:
    """Read sizes and captions of one folder."""
    images: list[ImageFile] = []
    skipped = _unsupported(subset.folder)
    uncaptioned = 0
    empty_captions: list[str] = []
    for path in pictures_in(subset.folder):
        try:
            size = picture_size(path)
            caption = read_caption_file(path, subset.settings.caption_extension)
        except DatasetError as error:
            skipped.append(Skipped(path, str(error)))
            continue
        lines = caption.lines if caption else ()
        if caption and not lines:
            empty_captions.append(caption.path.name)
        uncaptioned += not lines
        captions = lines or (subset.class_tokens,)
        images.append(ImageFile(path, size, captions, subset.repeats, subset))
    notes = (*_same_stem_notes(images), *_empty_caption_notes(empty_captions, subset.class_tokens))
    return Scan(tuple(images), tuple(skipped), uncaptioned, notes)


def _unsupported(folder: Path) -> list[Skipped]:
    """Name pictures of kinds that are not read, so that nobody wonders where they are."""
    return [
        Skipped(path, f"{path.suffix.lower()} pictures are not read; convert it to PNG or JPEG")
        for path in visible(folder)
        if path.suffix.lower() in NOT_READ - read_extensions()
    ]


def _same_stem_notes(images: list[ImageFile]) -> list[str]:
    by_stem: defaultdict[str, list[str]] = defaultdict(list)
    for image in images:
        by_stem[image.path.stem].append(image.path.name)
    same = [" and ".join(names) for names in by_stem.values() if len(names) > 1]
    if not same:
        return []
    return [
        "Pictures that differ only in the extension share one caption file. Rename them if they are "
        f"different pictures, or delete one of each: {named(same)}."
    ]


def _empty_caption_notes(names: list[str], class_tokens: str) -> list[str]:
    if not names:
        return []
    instead = f"'{class_tokens}' is used" if class_tokens else "the pictures are trained without a caption"
    return [f"These caption files are empty, so {instead}: {named(names)}."]


def _nothing_usable(folder: Path, result: Scan) -> str:
    reasons = named(f"{skipped.path.name}: {skipped.reason}" for skipped in result.skipped)
    return f"`train_data_dir` is {folder}, where no picture can be used. " + " ".join(
        part for part in (reasons, *result.notes) if part
    )
