"""Pictures on disk -> small pictures inside markup."""

import base64
import html
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

MAX_SIDE = 512  # pixels sent to the page; the full size stays on disk
SMALL_SIDE = 128  # up to here pictures are shown enlarged, with crisp pixels
PLAIN_WIDTH = 192  # CSS pixels on pages that drop the style sheet, which otherwise decides
JPEG_QUALITY = 85


@dataclass(frozen=True)
class Thumbnail:
    """A picture as a data URL (empty: it could not be read), and its height divided by its width."""

    url: str
    ratio: float
    crisp: bool


def thumbnail(path: str | Path) -> Thumbnail:
    """Return the picture at ``path``, at most 512 pixels a side; an empty one when it is unreadable."""
    try:
        with Image.open(path) as picture:
            return encode(picture.convert("RGB"))
    except OSError:
        return Thumbnail("", 1.0, crisp=False)


def encode(picture: Image.Image) -> Thumbnail:
    """Return an RGB picture as a thumbnail: small ones exactly (PNG), larger ones as JPEG."""
    crisp = max(picture.size) <= SMALL_SIDE
    content = io.BytesIO()
    if crisp:
        picture.save(content, "PNG")
    else:
        picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        picture.save(content, "JPEG", quality=JPEG_QUALITY)
    kind = "png" if crisp else "jpeg"
    url = f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
    return Thumbnail(url, picture.height / picture.width, crisp)


def image_tag(picture: Thumbnail, *, text: str) -> str:
    """Return the picture as markup; ``text`` describes it and appears when the pointer rests on it."""
    described = html.escape(text, quote=True)
    if not picture.url:
        return f'<span class="lw-missing" title="{described}">not readable</span>'
    css = "lw-picture lw-crisp" if picture.crisp else "lw-picture"
    # Crispness also as an attribute style, for pages that drop the style sheet.
    inline = ' style="image-rendering:pixelated"' if picture.crisp else ""
    source = f'width="{PLAIN_WIDTH}"{inline} src="{picture.url}"'
    return f'<img class="{css}" {source} alt="{described}" title="{described}"/>'
