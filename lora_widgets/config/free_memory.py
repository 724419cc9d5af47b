"""How much memory this machine still has."""

from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")


def free_memory_bytes() -> int | None:
    """Return what programs can still take, in this container if it is one; None where Linux does not say."""
    known = [free for free in (_of_the_machine(), _of_the_container()) if free is not None]
    return min(known, default=None)


def _of_the_machine() -> int | None:
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(available.split()[1]) * 1024
    except (OSError, ValueError, StopIteration, IndexError):
        return None


def _of_the_container() -> int | None:
    """Return the room below the limit of control groups, version 2; pages of files do not count as taken."""
    try:
        limit = int((CONTAINER / "memory.max").read_text(encoding="ascii"))  # "max" where there is none
        taken = int((CONTAINER / "memory.current").read_text(encoding="ascii"))
        details = dict(line.split() for line in (CONTAINER / "memory.stat").read_text("ascii").splitlines())
        return max(0, limit - taken + int(details.get("inactive_file", 0)))
    except (OSError, ValueError):
        return None
