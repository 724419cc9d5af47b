"""When a file of the cache was last used: its time, which uses move on, but not more than once a day."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

DAY_S = 86_400.0
_LOOK_EVERY_S = 3600.0


def note_use(path: Path) -> None:
    """Remember that a file is used now; where that cannot be done, it counts as used when it was made."""
    with suppress(OSError):
        if time.time() - path.stat().st_mtime >= DAY_S:
            os.utime(path)


def last_use(paths: Iterable[Path]) -> float:
    """Return the latest time, in seconds since 1970, at which one of these files can have been used.

    Raises:
        OSError: one is not there.
    """
    return max(path.stat().st_mtime for path in paths) + DAY_S


class Uses:
    """Notes the uses of files that are read all the time, looking at each only now and then."""

    def __init__(self) -> None:
        self._looked_at: dict[Path, float] = {}

    def note(self, path: Path) -> None:
        """Remember that a file is used now."""
        now = time.monotonic()
        if now - self._looked_at.get(path, -_LOOK_EVERY_S) >= _LOOK_EVERY_S:
            self._looked_at[path] = now
            note_use(path)
