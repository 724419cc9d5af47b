"""What tells that a file was written again, without reading it."""

import time
from pathlib import Path
from typing import NamedTuple

# A file written again within one tick of its clock looks unchanged; FAT and network drives tick every 2 s.
_SETTLED_AFTER_NS = 3_000_000_000


class FileStamp(NamedTuple):
    """A file as the system describes it.

    ``changed_ns`` is when it was last touched in any way, which no program can set back; on Windows it is
    when the file was made.
    """

    path: str
    size: int
    mtime_ns: int
    changed_ns: int


def stamp_of(path: Path) -> FileStamp:
    """Return the stamp of a file; of a link that of what it points to.

    Raises:
        OSError: it is not there.
    """
    found = path.stat()
    return FileStamp(str(path.absolute()), found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def is_settled(mtime_ns: int) -> bool:
    """Tell whether a file was last written so long ago that a later change would show in its time."""
    return abs(time.time_ns() - mtime_ns) > _SETTLED_AFTER_NS
