"""What earlier runs took, in a small file of the cache folder; torch-free.

The file names machines, families, sizes and a few choices: no path, no prompt, no name of a project. It is
read as a whole and written as a whole under a new name, so two programs that write at once lose one entry at
most. What is damaged, or of another version, counts as nothing and is replaced.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from lora_widgets.config.expectation import newer
from lora_widgets.config.facts import MeasuredRun
from lora_widgets.config.files import write_whole
from lora_widgets.data.cache_folder import cache_folder
from lora_widgets.data.machine import machine_name

FILE = "measured-runs.json"
VERSION = 1
"""To be raised too when the formula of `config.memory_estimate` changes, beside whose sums peaks are kept."""
MOST_RUNS = 64
_MOST_BYTES = 2**20
_UNUSABLE = (OSError, ValueError, RuntimeError)
"""No such place, no possible name, no such user; and content that is not valid, which is a `ValueError`."""


@dataclass(frozen=True)
class Entry:
    """A run and the machine that it ran on."""

    machine: str
    run: MeasuredRun


class MeasuredRuns(BaseModel):
    """The content of the file; the newest entry is the last."""

    version: Literal[1] = VERSION
    entries: tuple[Entry, ...] = ()


def measured_runs(cache_dir: object) -> tuple[MeasuredRun, ...]:
    """Return what was measured on this machine, a run of each kind; ``cache_dir`` is the setting."""
    machine = machine_name()
    return tuple(entry.run for entry in _read(cache_dir) if entry.machine == machine)


def keep_measured_run(cache_dir: object, run: MeasuredRun) -> None:
    """Keep a run for later ones of its kind; where the file cannot be written nothing happens."""
    machine, others = machine_name(), list[Entry]()
    for entry in _read(cache_dir):
        if entry.machine == machine and entry.run.kind == run.kind:
            run = newer(run, entry.run)
        else:
            others.append(entry)
    content = MeasuredRuns(entries=(*others, Entry(machine, run))[-MOST_RUNS:])
    with suppress(*_UNUSABLE):
        write_whole(_file(cache_dir), content.model_dump_json(indent=1))


def _read(cache_dir: object) -> tuple[Entry, ...]:
    try:
        with _file(cache_dir).open("rb") as file:
            return MeasuredRuns.model_validate_json(file.read(_MOST_BYTES)).entries
    except _UNUSABLE:
        return ()


def _file(cache_dir: object) -> Path:
    return cache_folder(str(cache_dir or "")) / FILE
