"""How often regularisation pictures are shown: together as often as the pictures that are learned."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lora_widgets.data.image_file import ImageFile


@dataclass(frozen=True)
class Balanced:
    """The pictures with their repeats in effect, and sentences about what is not used."""

    images: tuple[ImageFile, ...]
    notes: tuple[str, ...]


def balance(images: Sequence[ImageFile]) -> Balanced:
    """Give the regularisation pictures of each part as many showings as its other pictures have.

    They count with the repeats of their subset until there are enough, in their order; the rest is not used.
    Are there too few, each in turn is shown once more (sd-scripts, DreamBoothDataset). Different on purpose:
    the last one that is needed is cut, so that both counts are equal. ``images`` may be balanced already.
    """
    kept: list[ImageFile] = []
    notes: list[str] = []
    for part in sorted({image.subset.part for image in images}):
        here = [image for image in images if image.subset.part == part]
        regular = [image for image in here if image.subset.is_reg]
        if not regular:
            kept += here
            continue
        learned = [image for image in here if not image.subset.is_reg]
        needed = sum(image.repeats for image in learned)
        repeats = shared_repeats([image.subset.repeats for image in regular], needed)
        used = [replace(image, repeats=n) for image, n in zip(regular, repeats, strict=True) if n > 0]
        kept += [*learned, *used]
        notes += _unused_notes(len(regular), len(used), needed)
    return Balanced(tuple(kept), tuple(notes))


def shared_repeats(repeats: Sequence[int], needed: int) -> list[int]:
    """Raise or cut ``repeats`` in turn so that their sum is ``needed``."""
    result: list[int] = []
    missing = needed
    for wanted in repeats:
        result.append(min(wanted, missing))
        missing -= result[-1]
    each, first = divmod(missing, len(result))
    return [count + each + (place < first) for place, count in enumerate(result)]


def _unused_notes(found: int, used: int, needed: int) -> list[str]:
    if used == found:
        return []
    if not needed:
        return ["The regularisation pictures are not used, because there are no other pictures beside them."]
    return [
        f"{found - used} of {found} regularisation pictures are not used, because the others are shown "
        f"{needed} times per epoch already, as often as the pictures that are learned."
    ]
