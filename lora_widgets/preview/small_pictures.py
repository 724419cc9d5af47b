"""A picture file, small: for the eye as a data URL, and for comparison as measures."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from lora_widgets.data.colours import as_rgb
from lora_widgets.data.headers import UNREADABLE
from lora_widgets.preview.likeness import Measures, measure

MEASURED_SIDE = 256  # pixels; pictures are compared at this size whatever is shown
JPEG_QUALITY = 78


@dataclass(frozen=True)
class Look:
    """A picture looked at: ``url`` shows it whole; ``problem`` says why it cannot be opened, else empty.

    ``url`` is None where the picture has been measured and not kept.
    """

    url: str | None
    measures: Measures | None = None
    problem: str = ""


def look_at(path: Path, side: int) -> Look:
    """Open a picture as training does, and return it with at most ``side`` pixels a side."""
    try:
        small = open_small(path)
    except UNREADABLE as error:
        return Look("", problem=str(error))
    return Look(data_url(small, side), measure(small))


def open_small(path: Path) -> Image.Image:
    """Read a picture as RGB, turned as its EXIF says, at most 256 pixels a side; JPEGs are not fully decoded.

    Raises:
        OSError and others of UNREADABLE: the file is gone or damaged.
    """
    with Image.open(path) as picture:
        picture.draft("RGB", (MEASURED_SIDE, MEASURED_SIDE))
        small = as_rgb(ImageOps.exif_transpose(picture))
    small.thumbnail((MEASURED_SIDE, MEASURED_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return small


def data_url(picture: Image.Image, side: int) -> str:
    """Return a picture as a JPEG data URL, at most ``side`` pixels a side."""
    shown = picture.copy()
    shown.thumbnail((side, side), Image.Resampling.BILINEAR)
    content = io.BytesIO()
    shown.save(content, "JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
