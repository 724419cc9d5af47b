"""Pixels of one picture and of its mask: open as it is meant to be seen, scale, cut, mirror."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy
import torch
from PIL import Image, ImageOps
from torch import Tensor

from lora_widgets.data.buckets import Placement
from lora_widgets.data.colours import as_rgb
from lora_widgets.data.headers import UNREADABLE
from lora_widgets.errors import DatasetError

Converted = TypeVar("Converted")
Offset = tuple[int, int]
"""Left and top edge of a cut within the scaled picture."""


def open_image(path: Path) -> Image.Image:
    """Read a picture as RGB with its EXIF orientation applied; transparency is ignored, not blended.

    Raises:
        DatasetError: the file is gone or damaged.
    """
    return _opened(path, as_rgb)


def open_mask(path: Path) -> Image.Image:
    """Read a picture that says where to learn: its red channel, which in greys is the grey; mode "L".

    Raises:
        DatasetError: the file is gone or damaged.
    """
    return _opened(path, lambda picture: as_rgb(picture).getchannel("R"))


def open_alpha(path: Path) -> Image.Image | None:
    """Read how opaque a picture is, as mode "L"; None where it has no transparency.

    Raises:
        DatasetError: the file is gone or damaged.
    """
    return _opened(path, _alpha)


def place(image: Image.Image, placement: Placement, *, crop: Offset, flip: bool) -> Tensor:
    """Scale, cut and perhaps mirror a picture -> (3, H, W) float32 in [-1, 1].

    ``crop`` is the left and top edge within the scaled picture. Enlarging and reducing both use Lanczos:
    within one grey level of kohya's defaults.
    """
    image = _cut(image, placement, crop=crop, flip=flip)
    pixels = numpy.asarray(image, dtype=numpy.float32) / 127.5 - 1.0
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def place_mask(mask: Image.Image, placement: Placement, *, crop: Offset, flip: bool) -> Tensor:
    """Scale, cut and perhaps mirror a mask (mode "L") as its picture is -> (1, H, W) float32 in [0, 1]."""
    mask = _cut(mask, placement, crop=crop, flip=flip)
    return torch.from_numpy(numpy.asarray(mask, dtype=numpy.float32) / 255.0)[None]


def _cut(image: Image.Image, placement: Placement, *, crop: Offset, flip: bool) -> Image.Image:
    (left, top), bucket = crop, placement.bucket
    if image.size != placement.resized:
        image = image.resize(placement.resized, Image.Resampling.LANCZOS)
    image = image.crop((left, top, left + bucket.width, top + bucket.height))
    return ImageOps.mirror(image) if flip else image


def _opened(path: Path, convert: Callable[[Image.Image], Converted]) -> Converted:
    try:
        with Image.open(path) as picture:
            return convert(ImageOps.exif_transpose(picture))
    except UNREADABLE as error:
        raise DatasetError(
            f"The picture {path} cannot be opened ({error}). Replace or delete the file, then start again."
        ) from error


def _alpha(picture: Image.Image) -> Image.Image | None:
    if not picture.has_transparency_data:
        return None
    return picture.convert("RGBA").getchannel("A")
