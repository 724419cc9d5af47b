"""What trains on this machine, by name; torch-free."""

import os
import platform
from functools import cache
from pathlib import Path

from lora_widgets.config.free_memory import ask_gpu

CPUINFO = Path("/proc/cpuinfo")


@cache
def machine_name() -> str:
    """Name the first NVIDIA GPU, or else the processor with the number of its cores."""
    return ask_gpu("name") or f"{_processor()}, {os.cpu_count()} cores"


def _processor() -> str:
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or a processor that Linux does not name
        return platform.processor() or platform.machine()
