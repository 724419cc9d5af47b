"""Read one subset: the size, caption and mask of each picture in its folders."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lora_widgets.data.caption_files import CaptionNames, read_caption
from lora_widgets.data.headers import read_header
from lora_widgets.data.image_file import ImageFile, Skipped
from lora_widgets.data.layout import Source, counted, named
from lora_widgets.data.listing import Listing
from lora_widgets.data.masks import MaskNames, alpha_notes, mask_notes
from lora_widgets.data.subset import Subset
from lora_widgets.errors import DatasetError


@dataclass
class Found:
    """The pictures of a subset, what is left out, and what the user should know."""

    images: list[ImageFile] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class _Seen:
    """Names of pictures and caption files to speak about."""

    no_caption_file: list[str] = field(default_factory=list)
    empty_caption_files: list[str] = field(default_factory=list)
    opaque: list[str] = field(default_factory=list)
    same_stem: list[str] = field(default_factory=list)


def read_source(source: Source) -> Found:
    """Read a subset; a file that cannot be used costs only itself.

    Raises:
        DatasetError: there is no such mask folder.
    """
    subset = source.subset
    mask_folder = Path(subset.settings.mask_data_dir).expanduser() if subset.settings.mask_data_dir else None
    masks = MaskNames(mask_folder, subset.folder) if mask_folder and not subset.is_reg else None
    found, seen = Found(skipped=list(source.tree.skipped)), _Seen()
    for listing in source.tree.listings:
        _read_folder(listing, subset, masks.below(listing) if masks else {}, found, seen)
    found.notes += [*_same_stem_notes(seen.same_stem), *_caption_notes(seen, subset)]
    if mask_folder and masks:
        found.notes += mask_notes(mask_folder, found.images)
    if subset.settings.alpha_mask:
        found.notes += alpha_notes(seen.opaque, found.images)
    return found


def _read_folder(
    listing: Listing, subset: Subset, masks: Mapping[str, Path], found: Found, seen: _Seen
) -> None:
    """Add what one folder holds to ``found`` and ``seen``."""
    by_stem: defaultdict[str, list[str]] = defaultdict(list)
    captions = CaptionNames(listing.folder, listing.files, subset.settings.caption_extension)
    for name in listing.pictures:
        stem = name.rpartition(".")[0]
        path, mask, caption = listing.folder / name, masks.get(stem), captions.of(stem)
        try:
            header = read_header(path)
            lines = read_caption(listing.folder / caption) if caption else ()
            if mask:
                _check_mask(mask)
        except DatasetError as error:
            found.skipped.append(Skipped(path, str(error)))
            continue
        if not caption:
            seen.no_caption_file.append(name)
        elif not lines:
            seen.empty_caption_files.append(caption)
        if not header.has_alpha:
            seen.opaque.append(name)
        by_stem[stem].append(name)
        text = lines or (subset.class_tokens,)
        found.images.append(ImageFile(path, header.size, text, subset.repeats, subset, mask))
    seen.same_stem += [" and ".join(names) for names in by_stem.values() if len(names) > 1]


def _check_mask(mask: Path) -> None:
    try:
        read_header(mask)
    except DatasetError as error:
        raise DatasetError(f"its mask {mask.name} cannot be used: {error}") from error


def _same_stem_notes(same: list[str]) -> list[str]:
    if not same:
        return []
    return [
        "Pictures that differ only in the extension share one caption file. Rename them if they are "
        f"different pictures, or delete one of each: {named(same)}."
    ]


def _caption_notes(seen: _Seen, subset: Subset) -> list[str]:
    tokens = subset.class_tokens
    instead = f"'{tokens}' is used" if tokens else "the pictures are trained without a caption"
    notes: list[str] = []
    if missing := seen.no_caption_file:
        notes.append(
            f"No caption file for {counted(len(missing))} in {subset.folder.name}, so {instead}: "
            f"{named(missing)}."
        )
    if seen.empty_caption_files:
        notes.append(f"These caption files are empty, so {instead}: {named(seen.empty_caption_files)}.")
    return notes
