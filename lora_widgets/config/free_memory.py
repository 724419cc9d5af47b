"""How much memory and disk this machine still has."""

import shutil
import subprocess
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")
NVIDIA = "nvidia-smi"
PATIENCE_S = 5.0
MIB = 2**20


def free_memory_bytes() -> int | None:
    """Return what programs can still take, in this container if it is one; None where Linux does not say."""
    known = [free for free in (_of_the_machine(), _of_the_container()) if free is not None]
    return min(known, default=None)


def free_gpu_bytes() -> int | None:
    """Return what the first NVIDIA GPU has free, without torch; None without such a GPU or its driver."""
    try:
        return int(ask_gpu("memory.free")) * MIB
    except ValueError:
        return None


def ask_gpu(question: str) -> str:
    """Return what the driver answers of the first NVIDIA GPU; empty without such a GPU or its driver."""
    if shutil.which(NVIDIA) is None:
        return ""
    command = (NVIDIA, f"--query-gpu={question}", "--format=csv,noheader,nounits")
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):  # a ValueError: no text
        return ""
    return answer.stdout.partition("\n")[0].strip()


def free_disk_bytes(folder: str) -> int | None:
    """Return what the drive of a folder, which need not exist yet, can still take; None where unknown."""
    try:
        path = Path(folder).expanduser().absolute()
        there = next(place for place in (path, *path.parents) if place.exists())
        return shutil.disk_usage(there).free
    except (OSError, ValueError, RuntimeError, StopIteration):
        return None


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
