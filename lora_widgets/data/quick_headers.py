"""Size and transparency of a picture from its first bytes, for the usual kinds of file.

This is an order of magnitude faster than opening the file with Pillow, and Pillow remains the authority: what
is out of the ordinary, damaged, cut off or may hold an orientation is None here, which means "ask Pillow".
"""

import struct
from collections.abc import Callable, Mapping
from io import RawIOBase
from typing import NamedTuple
from zlib import crc32

HEAD_BYTES = 4096
# Encoders write pieces of 8 KiB at least; a file in smaller ones is for Pillow to judge.
MAX_PIECES = 20_000
MAX_PIXELS = 89_000_000  # above, Pillow warns of pictures that fill the memory

PNG = b"\x89PNG\r\n\x1a\n"
PNG_BIT_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PNG_ALPHA_TYPES = (4, 6)
# Chunks without a say in size, orientation and transparency, with the length they must have (None for any).
PNG_HARMLESS: Mapping[bytes, int | None] = {
    b"PLTE": None,
    b"bKGD": None,
    b"cHRM": 32,
    b"gAMA": 4,
    b"pHYs": 9,
    b"sBIT": None,
    b"sRGB": 1,
    b"tEXt": None,
    b"tIME": 7,
}
PNG_ORIENTATION_TEXTS = (b"Raw profile type", b"XML:")
PNG_LONGEST_CHUNK = 65_536

JPEG_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive Huffman coding
JPEG_START_OF_SCAN = 0xDA
# Tables and comments; Exif and XMP (APP1), several pictures in one file and rare coders are for Pillow.
JPEG_HARMLESS = {0xC4: 19, 0xDB: 67, 0xDD: 4, 0xE0: 16, 0xEE: 14, 0xFE: 2}  # marker -> shortest length
JPEG_QUANTIZATION = 0xDB
JPEG_TABLE_BYTES = 65


class Header(NamedTuple):
    """``size`` is (width, height) as the picture is meant to be seen."""

    size: tuple[int, int]
    has_alpha: bool


def quick_header(file: RawIOBase, num_bytes: int) -> Header | None:
    """Read the header of a complete file of ``num_bytes``; None when only Pillow can tell."""
    window = _Window(file, num_bytes)
    try:
        for signature, read in READERS.items():
            if window.head.startswith(signature):
                header = read(window)
                break
        else:
            return None
    except (struct.error, IndexError):  # the file ends too soon
        return None
    if header is None or min(header.size) < 1 or header.size[0] * header.size[1] > MAX_PIXELS:
        return None
    return header


class _Window:
    """A file, read at places, with its first bytes at hand."""

    def __init__(self, file: RawIOBase, num_bytes: int) -> None:
        self.num_bytes = num_bytes
        self._file = file
        self.head = file.read(HEAD_BYTES) or b""

    def at(self, position: int, length: int) -> bytes:
        """Return the bytes there; fewer at the end of the file."""
        if position + length <= len(self.head):
            return self.head[position : position + length]
        self._file.seek(position)
        return self._file.read(length) or b""


def _png(window: _Window) -> Header | None:
    """Walk over all chunks: an orientation may stand behind the pixels too."""
    if window.at(8, 8) != b"\x00\x00\x00\rIHDR" or not _has_right_sum(window, 8, 13):
        return None
    width, height, depth, kind, compression, filtering, interlace = struct.unpack(
        ">IIBBBBB", window.at(16, 13)
    )
    if depth not in PNG_BIT_DEPTHS.get(kind, ()) or compression or filtering or interlace > 1:
        return None
    position, has_pixels = 33, False
    for _ in range(MAX_PIECES):
        length, name = struct.unpack(">I4s", window.at(position, 8))
        if name == b"IEND":
            is_whole = has_pixels and position + 12 <= window.num_bytes
            return Header((width, height), kind in PNG_ALPHA_TYPES) if is_whole else None
        if name == b"IDAT":
            has_pixels = True
        elif not _is_harmless(window, position, name, length):
            return None
        position += 12 + length
    return None


def _is_harmless(window: _Window, position: int, name: bytes, length: int) -> bool:
    if length > PNG_LONGEST_CHUNK or PNG_HARMLESS.get(name, -1) not in (None, length):
        return False
    if name == b"tEXt" and window.at(position + 8, 16).startswith(PNG_ORIENTATION_TEXTS):
        return False
    return _has_right_sum(window, position, length)


def _has_right_sum(window: _Window, position: int, length: int) -> bool:
    """Compare the check sum of the chunk at ``position``; Pillow refuses the file if it is wrong."""
    chunk = window.at(position + 4, length + 8)
    return len(chunk) == length + 8 and crc32(chunk[:-4]) == int.from_bytes(chunk[-4:], "big")


def _jpeg(window: _Window) -> Header | None:
    """Walk over the segments up to the pixels; the file must end as it should."""
    if window.at(window.num_bytes - 2, 2) != b"\xff\xd9":
        return None
    position, size = 2, None
    for _ in range(MAX_PIECES):
        start, marker, length = struct.unpack(">BBH", window.at(position, 4))
        if start != 0xFF:
            return None
        if marker == JPEG_START_OF_SCAN:
            is_whole = position + 2 + length <= window.num_bytes
            return Header(size, has_alpha=False) if size and is_whole else None
        if marker in JPEG_FRAMES:
            bits, height, width, channels = struct.unpack(">BHHB", window.at(position + 4, 6))
            if size or bits != 8 or channels not in (1, 3, 4) or length != 8 + 3 * channels:
                return None
            size = width, height
        elif length < JPEG_HARMLESS.get(marker, 0x10000) or not _has_whole_tables(window, position):
            return None
        position += 2 + length
    return None


def _has_whole_tables(window: _Window, position: int) -> bool:
    """Check quantization tables: Pillow refuses a file whose tables are cut off."""
    marker, length = struct.unpack(">xBH", window.at(position, 4))
    if marker != JPEG_QUANTIZATION:
        return True
    tables = window.at(position + 4, length - 2)
    starts = tables[::JPEG_TABLE_BYTES]
    return len(tables) == length - 2 == JPEG_TABLE_BYTES * len(starts) and max(starts) < 16


def _webp(window: _Window) -> Header | None:
    """Take the two simple kinds; those with Exif, colour profile, animation or lossy alpha are for Pillow."""
    riff, name, kind, length = struct.unpack("<I4s4sI", window.at(4, 16))
    if name != b"WEBP" or riff + 8 > window.num_bytes or length + length % 2 + 12 != riff:
        return None
    content = window.at(20, 10)
    if kind == b"VP8 " and content[3:6] == b"\x9d\x01\x2a":
        tag = int.from_bytes(content[:3], "little")
        is_key_frame, profile, is_shown, first_part = not tag & 1, tag >> 1 & 7, tag >> 4 & 1, tag >> 5
        if is_key_frame and profile <= 3 and is_shown and first_part < length - 10:
            width, height = struct.unpack("<HH", content[6:])
            return Header((width & 0x3FFF, height & 0x3FFF), has_alpha=False)
    if kind == b"VP8L" and content[0] == 0x2F and content[4] >> 5 == 0:
        bits = int.from_bytes(content[1:5], "little")
        return Header(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), has_alpha=bool(bits >> 28 & 1))
    return None


def _bmp(window: _Window) -> Header | None:
    """Take the plain 24-bit kind, whose length follows from its size."""
    offset, header, width, height, planes, bits, compression = struct.unpack("<IIiiHHI", window.at(10, 24))
    row = (width * 3 + 3) // 4 * 4
    is_plain = header in (40, 108, 124) and (planes, bits, compression) == (1, 24, 0)
    if not is_plain or width < 1 or offset < 14 + header or offset + row * abs(height) > window.num_bytes:
        return None
    return Header((width, abs(height)), has_alpha=False)


READERS: Mapping[bytes, Callable[[_Window], Header | None]] = {
    PNG: _png,
    b"\xff\xd8\xff": _jpeg,
    b"RIFF": _webp,
    b"BM": _bmp,
}
