"""The size of a picture from its header, and whether the file can be read; decoded only in doubt."""

import os
import stat
import struct
from contextlib import suppress
from functools import cache
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from lora_widgets.data.quick_headers import Header, quick_header
from lora_widgets.errors import DatasetError

ALWAYS_READ = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
NOT_READ = frozenset({".avif", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".psd", ".tga", ".tif", ".tiff"})
READ_WHERE_PILLOW_CAN = frozenset({".avif", ".jxl"})
JPEG_XL_PLUGINS = ("pillow_jxl", "jxlpy.JXLImagePlugin")
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
    if ".jxl" not in Image.registered_extensions():
        _load_jpeg_xl()
    return ALWAYS_READ | READ_WHERE_PILLOW_CAN & set(Image.registered_extensions())


def read_header(path: Path) -> Header:
    """Return the size of a picture as it is meant to be seen, with the EXIF orientation applied.

    Raises:
        DatasetError: the file is empty, cut off, or not a picture; the text is the reason, without the name.
    """
    try:
        return _quick(path) or _by_pillow(path)
    except UnidentifiedImageError as error:
        raise DatasetError(
            "its content is not a picture, whatever its name says; replace or delete the file"
        ) from error
    except Image.DecompressionBombError as error:
        raise DatasetError("it has too many pixels to open safely; scale it down first") from error
    except UNREADABLE as error:
        raise DatasetError(_damage(error)) from error


def _load_jpeg_xl() -> None:
    """Import the first plugin that teaches Pillow to read JPEG XL; none is needed."""
    for plugin in JPEG_XL_PLUGINS:
        with suppress(ImportError):
            __import__(plugin)
            return


def _quick(path: Path) -> Header | None:
    # Opening a pipe would wait for its writer.
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DatasetError("it is not a regular file; delete it or copy the picture itself")
    if status.st_size == 0:
        raise DatasetError("the file is empty (0 bytes); copy it again or delete the file")
    with path.open("rb", buffering=0) as file:
        return quick_header(file, status.st_size)


def _by_pillow(path: Path) -> Header:
    with Image.open(path) as picture:
        width, height = picture.size
        orientation = picture.getexif().get(ORIENTATION_TAG, 1)
        if not _ends_properly(path, picture.format):
            picture.load()
        has_alpha = "A" in picture.getbands() or "transparency" in picture.info
    return Header((height, width) if orientation in TURNED_ON_ITS_SIDE else (width, height), has_alpha)


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


def _damage(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return (
            f"the file cannot be read ({os.strerror(error.errno)}); check its permissions, or copy it again"
        )
    reason = " ".join(str(error).split())  # some plugins write several lines
    return f"the picture is damaged or cut off ({reason}); copy it again or delete the file"
