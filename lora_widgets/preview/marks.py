"""What is worth knowing about a picture at a glance: problems, and what it is there for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from lora_widgets.data.buckets import Placement
from lora_widgets.data.image_file import ImageFile
from lora_widgets.data.layout import named
from lora_widgets.preview.likeness import BLURRED_BELOW, are_blurred, groups_of_alike, relative_sharpness
from lora_widgets.preview.numbers import counted
from lora_widgets.preview.small_pictures import Look

ENLARGED_ABOVE = 2.0
CUT_ABOVE = 0.25
_LONG_CAPTION = (
    "Its caption is longer than the text encoder reads; the end is not learned. Shorten it or raise "
    "`max_token_length`."
)


class Mark(Enum):
    """A kind of mark, in the words of the page; the order is that of the filters."""

    DAMAGED = "Damaged"
    TOO_SMALL = "Too small"
    CUT = "Much cut off"
    BLURRED = "Blurred"
    DUPLICATE = "Look alike"
    NO_CAPTION = "No caption"
    LONG_CAPTION = "Caption cut"
    REGULARISATION = "Regularisation"
    MASK = "With a mask"

    @property
    def is_problem(self) -> bool:
        """Whether it deserves a second look."""
        return self not in (Mark.REGULARISATION, Mark.MASK)

    @property
    def slug(self) -> str:
        """Name in CSS classes."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True)
class Badge:
    """A mark on one picture: ``text`` is short, ``reason`` a sentence with the numbers behind it."""

    mark: Mark
    text: str
    reason: str


@dataclass(frozen=True)
class Compared:
    """What opening the pictures and comparing them tells: marks by number, and groups of alike pictures."""

    badges: Mapping[int, tuple[Badge, ...]]
    groups: tuple[tuple[int, ...], ...] = ()


def badges_at_once(image: ImageFile, placement: Placement, *, lost_tokens: int) -> list[Badge]:
    """List the marks for which no picture has to be opened.

    ``lost_tokens`` are those of its longest caption in the first epochs that the text encoder does not read.
    """
    badges: list[Badge] = []
    scale = enlargement(image.size, placement)
    if scale > ENLARGED_ABOVE:
        reason = (
            f"It is enlarged {scale:.1f} times (more than {ENLARGED_ABOVE:g} blurs). Use a larger picture, "
            "lower `resolution`, or turn `bucket_no_upscale` on."
        )
        badges.append(Badge(Mark.TOO_SMALL, f"enlarged {scale:.1f}×", reason))
    cut = cut_off(placement)
    if cut > CUT_ABOVE:
        reason = f"{cut:.0%} of it are cut off. Is what matters still in sight?"
        badges.append(Badge(Mark.CUT, f"{cut:.0%} cut off", reason))
    if not has_caption(image):
        badges.append(Badge(Mark.NO_CAPTION, "no caption", _no_caption(image)))
    if lost_tokens:
        badges.append(Badge(Mark.LONG_CAPTION, f"{counted(lost_tokens, 'token')} cut", _LONG_CAPTION))
    if image.subset.is_reg:
        badges.append(Badge(Mark.REGULARISATION, "regularisation", "Shows what the class looks like."))
    if image.mask is not None:
        badges.append(Badge(Mark.MASK, "mask", f"{image.mask.name} says where to learn."))
    return badges


def compare(looks: Mapping[int, Look], names: Mapping[int, str]) -> Compared:
    """Compare pictures, by number, that have been looked at; ``names`` are those of their files."""
    measures = {number: look.measures for number, look in looks.items() if look.measures is not None}
    groups = groups_of_alike(measures)
    relative = relative_sharpness(measures)
    badges: dict[int, list[Badge]] = {number: [] for number in looks}
    for number, look in looks.items():
        if look.problem:
            badges[number].append(_damaged(look.problem))
    for number in are_blurred(relative):
        badges[number].append(_blurred(relative[number]))
    for group in groups:
        for number in group:
            badges[number].append(_alike([names[other] for other in group if other != number]))
    return Compared({number: tuple(own) for number, own in badges.items()}, groups)


def enlargement(size: tuple[int, int], placement: Placement) -> float:
    """Return by which factor a picture is enlarged; below 1 it is reduced."""
    return max(new / old for new, old in zip(placement.resized, size, strict=True))


def cut_off(placement: Placement) -> float:
    """Return the share of a scaled picture that lies outside the bucket."""
    width, height = placement.resized
    return 1 - placement.bucket.width * placement.bucket.height / (width * height)


def has_caption(image: ImageFile) -> bool:
    """Tell whether a picture has words of its own, beyond those of its folder."""
    return any(image.captions) and image.captions != (image.subset.class_tokens,)


def _no_caption(image: ImageFile) -> str:
    words = image.subset.class_tokens
    return f"The folder's words are used: {words}." if words else "It is trained without words."


def _damaged(problem: str) -> Badge:
    return Badge(
        Mark.DAMAGED,
        "damaged",
        f"It cannot be opened, and training would stop there: {problem}. Replace or delete the file.",
    )


def _blurred(share: float) -> Badge:
    reason = (
        f"Its sharpness is {share:.0%} of the median of all pictures; {BLURRED_BELOW:.0%} and less counts as "
        "blurred. Flat drawings can be meant to be so."
    )
    return Badge(Mark.BLURRED, "blurred", reason)


def _alike(others: list[str]) -> Badge:
    reason = f"It looks like {named(others)}. The same picture several times counts as more repeats."
    return Badge(Mark.DUPLICATE, f"{len(others) + 1} alike", reason)
