"""What the weight files are that settings name; a file is looked into once, until it changes.

Only .safetensors files are looked into: the header of another kind cannot be read without loading it.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from lora_widgets.catalog.weight_files import kind_of
from lora_widgets.config.misplaced import WEIGHT_SETTINGS
from lora_widgets.config.rules.rule import Finding, Severity
from lora_widgets.config.weight_headers import read_header, refuse_gguf
from lora_widgets.errors import ModelError

REMEMBERED = 64


def weight_facts(values: Mapping[str, object]) -> tuple[dict[str, str], tuple[Finding, ...]]:
    """Return the kinds (`FILE_KINDS`) of files by their setting, and what is wrong with damaged ones."""
    kinds: dict[str, str] = {}
    damaged: list[Finding] = []
    for name in WEIGHT_SETTINGS:
        try:
            kind = _kind_of_file(name, str(values.get(name) or "").strip())
        except ModelError as error:
            damaged.append(Finding(Severity.ERROR, (name,), str(error), ""))
        else:
            kinds |= {name: kind} if kind else {}
    return kinds, tuple(damaged)


def _kind_of_file(setting: str, value: str) -> str:
    """Return the kind of a setting's file; "" if it holds no .safetensors file.

    Raises:
        ModelError: it is damaged, or of a format that is never read.
    """
    refuse_gguf(setting, value)
    if not value.lower().endswith(".safetensors"):
        return ""
    try:
        path = Path(value).expanduser()
        stamp = path.stat().st_mtime_ns if path.is_file() else 0
    except (OSError, ValueError, RuntimeError):  # too long, no possible name, no home folder
        return ""
    return _kind(setting, path, stamp) if stamp else ""


@lru_cache(maxsize=REMEMBERED)
def _kind(setting: str, path: Path, stamp: int) -> str:
    """Look into the file that was written at ``stamp``."""
    return kind_of(read_header(setting, path).shapes).name
