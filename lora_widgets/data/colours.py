"""Every kind of picture as red, green and blue."""

import numpy
from PIL import Image


def as_rgb(picture: Image.Image) -> Image.Image:
    """Convert to RGB: 16-bit greys are scaled, transparency is ignored and not blended."""
    if picture.mode.startswith("I"):
        # Pillow clips 16-bit greys to white instead of scaling them.
        greys = numpy.asarray(picture).astype(numpy.float32) / 257.0
        return Image.fromarray(greys.clip(0, 255).round().astype(numpy.uint8)).convert("RGB")
    if picture.mode == "P" and "transparency" in picture.info:
        # Straight to RGB, Pillow warns about palettes with transparency; the colours are the same.
        picture = picture.convert("RGBA")
    return picture.convert("RGB")
