"""How often the tags of a data set occur. Pure."""

from collections import Counter
from collections.abc import Sequence

from lora_widgets.data.image_file import ImageFile


def tag_counts(images: Sequence[ImageFile]) -> Counter[str]:
    """Count in how many pictures each tag occurs: lower case, once per picture, repeats not counted.

    Of a caption with alternative lines all of them count where one is drawn at random, else the first.
    """
    counts: Counter[str] = Counter()
    for image in images:
        counts.update(tags_of(image))
    return counts


def most_frequent(counts: Counter[str], limit: int) -> list[tuple[str, int]]:
    """List the most frequent tags with their counts; equally frequent ones by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]


def tags_of(image: ImageFile) -> set[str]:
    """Return the different tags in the caption of one picture."""
    settings = image.subset.settings
    lines = image.captions if settings.enable_wildcard else image.captions[:1]
    parts = (part.strip().lower() for line in lines for part in line.split(settings.caption_separator))
    return {part for part in parts if part}


def by_folder(images: Sequence[ImageFile]) -> dict[str, list[ImageFile]]:
    """Sort the pictures by the name of their folder, in the order in which the folders are trained on."""
    folders: dict[str, list[ImageFile]] = {}
    for image in images:
        folders.setdefault(image.folder, []).append(image)
    return folders
