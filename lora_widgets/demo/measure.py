"""Read a generated picture by rules on its pixels: background, colour, place and shape.

These rules judge the base model on captions it has never seen, and whether a LoRA left the rest of what the
model knows as it was. They look at pixels only, never at the caption.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from lora_widgets.demo.drawing import shape_mask
from lora_widgets.demo.pictures import BACKGROUNDS, COLOURS, PLACES, RGB, SHAPES, Wish

_GRID = 24
"""Masks are compared after stretching their boxes to this many pixels a side."""
_APART = 48.0
"""A pixel belongs to the thing when its RGB distance from the background is larger than this."""


@dataclass(frozen=True)
class Reading:
    """What a picture shows; None where no thing stands out from the background."""

    background: str
    colour: str | None
    place: str | None
    shape: str | None


def read(picture: Image.Image) -> Reading:
    """Return what a 64 px picture of one plain shape shows.

    The background is the named one nearest to the median of the border; the colour is the name most pixels
    of the thing are nearest to; the place is the named one nearest to the middle of its box; the shape is
    the one whose silhouette, stretched to the same box, overlaps most (intersection over union).
    """
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    sides = (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:])
    ground = np.median(np.concatenate([side.reshape(-1, 3) for side in sides]), axis=0)
    background = str(nearest_names(ground, BACKGROUNDS))
    mask = np.linalg.norm(pixels - ground, axis=-1) > _APART
    if mask.sum() < 12:
        return Reading(background, None, None, None)
    rows, columns = np.nonzero(mask)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    names, counts = np.unique(nearest_names(pixels[mask], COLOURS), return_counts=True)
    return Reading(
        background=background,
        colour=str(names[counts.argmax()]),
        place=min(PLACES, key=lambda p: abs(PLACES[p][0] - middle[0]) + abs(PLACES[p][1] - middle[1])),
        shape=_shape(mask[box[1] : box[3], box[0] : box[2]]),
    )


def scene_is_right(picture: Image.Image, wish: Wish) -> bool:
    """Whether colour, background and place are all as asked."""
    seen = read(picture)
    return (seen.colour, seen.background, seen.place) == (wish.colour, wish.background, wish.place)


def shape_is_right(picture: Image.Image, wish: Wish) -> bool:
    """Whether the shape is as asked."""
    return read(picture).shape == wish.shape


def nearest_names(pixels: np.ndarray, table: dict[str, RGB]) -> np.ndarray:
    """Return for pixels (..., 3) the names (...) of the colours in ``table`` that are nearest to them."""
    colours = np.array(list(table.values()), dtype=np.float32)
    return np.array(list(table))[np.linalg.norm(pixels[..., None, :] - colours, axis=-1).argmin(axis=-1)]


def _shape(mask: np.ndarray) -> str:
    stretched = _stretch(mask)
    return max(SHAPES, key=lambda name: _overlap(stretched, _silhouette(name)))


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def _stretch(mask: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(mask.astype(np.uint8) * 255).resize((_GRID, _GRID), Image.Resampling.BOX)
    return np.asarray(picture) > 127


@cache
def _silhouette(name: str) -> np.ndarray:
    mask = np.asarray(shape_mask(name, (32, 32), 24.0)) > 127
    rows, columns = np.nonzero(mask)
    return _stretch(mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
