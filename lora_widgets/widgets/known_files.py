"""What kinds of weight files are on the disk; a file is looked into once, until it changes."""

from functools import lru_cache
from pathlib import Path

from lora_widgets.catalog.weight_files import kind_of
from lora_widgets.config.weight_headers import read_header

REMEMBERED = 64


def kind_of_file(setting: str, value: str) -> str:
    """Return the kind (`FILE_KINDS`) of the .safetensors file in a setting; "" if it holds no such file.

    Raises:
        ModelError: the file is damaged.
    """
    if not value.strip().lower().endswith(".safetensors"):
        return ""
    try:
        path = Path(value.strip()).expanduser()
        stamp = path.stat().st_mtime_ns if path.is_file() else 0
    except (OSError, ValueError, RuntimeError):  # too long, no possible name, no home folder
        return ""
    return _kind(setting, path, stamp) if stamp else ""


@lru_cache(maxsize=REMEMBERED)
def _kind(setting: str, path: Path, stamp: int) -> str:
    """Look into the file that was written at ``stamp``."""
    return kind_of(read_header(setting, path).shapes).name
