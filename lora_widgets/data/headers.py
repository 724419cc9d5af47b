"""The size of a picture from its header, and whether the file can be read; decoded only in doubt."""

import struct
from functools import cache
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from lora_widgets.errors import DatasetError

ALWAYS_READ = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
NOT_READ = frozenset({".avif", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".psd", ".tga", ".tif", ".tiff"})
ORIENTATION_TAG = 0x0112
TURNED_ON_ITS_SIDE = frozenset({5, 6, 7, 8})
# What Pillow raises for damaged files, by experience: its formats do not agree on one exception.
UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    RuntimeError,
    struct.error,
    Image.DecompressionBombError,
)


@cache
def read_extensions() -> frozenset[str]:
    """Return the lower-case extensions of pictures this installation of Pillow can train on."""
    optional = {".avif"} & set(Image.registered_extensions())
    return ALWAYS_READ | optional


def picture_size(path: Path) -> tuple[int, int]:
    """Return (width, height) as the picture is meant to be seen, with the EXIF orientation applied.

    Raises:
        DatasetError: the file is empty, cut off, or not a picture; the text is the reason, without the name.
    """
    _refuse_what_is_no_file(path)
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            orientation = picture.getexif().get(ORIENTATION_TAG, 1)
            if not _ends_properly(path, picture.format):
                picture.load()
    except UnidentifiedImageError as error:
        raise DatasetError(
            "its content is not a picture, whatever its name says; replace or delete the file"
        ) from error
    except Image.DecompressionBombError as error:
        raise DatasetError("it has too many pixels to open safely; scale it down first") from error
    except UNREADABLE as error:
        raise DatasetError(
            f"the picture is damaged or cut off ({error}); copy it again or delete the file"
        ) from error
    return (height, width) if orientation in TURNED_ON_ITS_SIDE else (width, height)


def _refuse_what_is_no_file(path: Path) -> None:
    if not path.is_file():
        raise DatasetError("it is not a regular file (a broken link?); delete it or copy the picture itself")
    if path.stat().st_size == 0:
        raise DatasetError("the file is empty (0 bytes); copy it again or delete the file")


def _ends_properly(path: Path, format_name: str | None) -> bool:
    """Tell from a few bytes whether the file is complete; False only means that decoding has to decide."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(max(0, size - 12))
        tail = file.read(12)
    if format_name == "PNG":
        return tail[4:8] == b"IEND"
    if format_name in ("JPEG", "MPO"):
        return tail.endswith(b"\xff\xd9")
    if format_name == "WEBP":
        return int.from_bytes(head[4:8], "little") + 8 <= size
    return False
