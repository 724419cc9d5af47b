"""The hashes by which other programs know a base model's file."""

import hashlib
from functools import lru_cache
from pathlib import Path

_MEBIBYTE, _WINDOW = 0x100000, 0x10000


def file_hashes(path: Path) -> tuple[str, str]:
    """Return the old hash of a file, 8 digits of the SHA-256 of 64 KiB at 1 MiB, and that of all of it.

    Remembered while the file stays as it is: a model of 7 GB is read for some seconds.

    Raises:
        OSError: it cannot be read any more.
    """
    facts = path.stat()
    return _hashes(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=8)
def _hashes(path: Path, _size: int, _mtime_ns: int) -> tuple[str, str]:
    with path.open("rb") as file:
        file.seek(_MEBIBYTE)
        short = hashlib.sha256(file.read(_WINDOW)).hexdigest()[:8]
        file.seek(0)
        return short, hashlib.file_digest(file, "sha256").hexdigest()
