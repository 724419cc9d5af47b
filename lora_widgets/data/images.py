"""Pixels of one picture: open it as it is meant to be seen, scale, cut, mirror."""

from pathlib import Path

import numpy
import torch
from PIL import Image, ImageOps
from torch import Tensor

from lora_widgets.data.buckets import Placement
from lora_widgets.data.headers import UNREADABLE
from lora_widgets.errors import DatasetError


def open_image(path: Path) -> Image.Image:
    """Read a picture as RGB with its EXIF orientation applied; transparency is ignored, not blended.

    Raises:
        DatasetError: the file is gone or damaged.
    """
    try:
        with Image.open(path) as picture:
            return _rgb(ImageOps.exif_transpose(picture))
    except UNREADABLE as error:
        raise DatasetError(
            f"The picture {path} cannot be opened ({error}). Replace or delete the file, then start again."
        ) from error


def place(image: Image.Image, placement: Placement, *, crop: tuple[int, int] | None, flip: bool) -> Tensor:
    """Scale, cut and perhaps mirror a picture -> (3, H, W) float32 in [-1, 1].

    ``crop`` is the left and top edge within the scaled picture; None takes the centre. Enlarging and reducing
    both use Lanczos: within one grey level of kohya's defaults.
    """
    left, top = placement.crop if crop is None else crop
    bucket = placement.bucket
    if image.size != placement.resized:
        image = image.resize(placement.resized, Image.Resampling.LANCZOS)
    image = image.crop((left, top, left + bucket.width, top + bucket.height))
    if flip:
        image = ImageOps.mirror(image)
    pixels = numpy.asarray(image, dtype=numpy.float32) / 127.5 - 1.0
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        # Pillow clips 16-bit greys to white instead of scaling them.
        greys = numpy.asarray(picture).astype(numpy.float32) / 257.0
        return Image.fromarray(greys.clip(0, 255).round().astype(numpy.uint8)).convert("RGB")
    if picture.mode == "P" and "transparency" in picture.info:
        # Straight to RGB, Pillow warns about palettes with transparency; the colours are the same.
        picture = picture.convert("RGBA")
    return picture.convert("RGB")
