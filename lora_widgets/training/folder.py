"""The run folder: names of its files, what may not be overwritten, and what is old enough to delete.

Names are those of kohya's trainer: ``name.safetensors``, ``name-000004.safetensors`` (epoch),
``name-step00000200.safetensors``, and the same with ``-state`` for folders to resume from.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lora_widgets.errors import ConfigError

_STATE = "-state"


@dataclass(frozen=True)
class RunFolder:
    """Where the files of a run called ``stem`` lie."""

    path: Path
    stem: str
    suffix: str = ".safetensors"

    @property
    def journal(self) -> Path:
        """Every event, one JSON object a line."""
        return self.path / f"{self.stem}.events.jsonl"

    @property
    def config(self) -> Path:
        """The configuration as it was used."""
        return self.path / f"{self.stem}.config.toml"

    @property
    def samples(self) -> Path:
        """The folder of preview pictures."""
        return self.path / "sample"

    def final(self) -> Path:
        """The weights at the end of the run, however it ended."""
        return self.path / f"{self.stem}{self.suffix}"

    def at_epoch(self, epoch: int) -> Path:
        """The weights after epoch ``epoch`` (from 1)."""
        return self.path / f"{self.stem}-{epoch:06d}{self.suffix}"

    def at_step(self, step: int) -> Path:
        """The weights after step ``step`` (from 1)."""
        return self.path / f"{self.stem}-step{step:08d}{self.suffix}"

    def state_beside(self, weights: Path) -> Path:
        """The state that belongs to saved weights."""
        return self.path / f"{weights.name.removesuffix(self.suffix)}{_STATE}"

    def states(self) -> list[Path]:
        """Every state folder of this run, in no order that matters."""
        pattern = re.compile(re.escape(self.stem) + r"(-\d{6}|-step\d{8})?" + _STATE)
        if not self.path.is_dir():
            return []
        return [p for p in self.path.iterdir() if p.is_dir() and pattern.fullmatch(p.name)]

    def leftovers(self) -> list[Path]:
        """Weights and states of an earlier run of this name, which a fresh run would have to overwrite.

        A run that failed before it saved anything leaves only its journal, and may be tried again.
        """
        if not self.path.is_dir():
            return []
        pattern = re.compile(re.escape(self.stem) + r"(-\d{6}|-step\d{8})?" + re.escape(self.suffix))
        return [p for p in self.path.iterdir() if pattern.fullmatch(p.name)] + self.states()

    def make(self) -> None:
        """Create the folder.

        Raises:
            ConfigError: it cannot be made or written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".{self.stem}.probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ConfigError(
                f"`output_dir` is {str(self.path)!r}, but nothing can be written there "
                f"({error.strerror or error}). "
                "Choose a folder you may write to."
            ) from error

    def refuse_leftovers(self) -> None:
        """Make sure that a fresh run overwrites nothing.

        Raises:
            ConfigError: an earlier run of the same name left files here; the text offers a free name.
        """
        if found := self.leftovers():
            raise ConfigError(
                f"`output_dir` {str(self.path)!r} already holds a run called {self.stem!r} "
                f"({found[0].name} and "
                f"{len(found) - 1} more). Set `output_name` to {free_stem(self)!r} for a new run "
                f"beside it, or "
                '`resume` to "latest" to go on with it.'
            )


def free_stem(folder: RunFolder) -> str:
    """Return the first of ``stem-2``, ``stem-3`` ... of which the folder holds nothing."""
    number = 2
    while RunFolder(folder.path, f"{folder.stem}-{number}", folder.suffix).leftovers():
        number += 1
    return f"{folder.stem}-{number}"


def expired(existing: Sequence[str], keep: int) -> tuple[str, ...]:
    """Return the names to delete so that the newest ``keep`` stay; oldest come first, 0 keeps all."""
    return tuple(existing[:-keep]) if keep > 0 else ()


def without(names: Iterable[str], gone: Iterable[str]) -> tuple[str, ...]:
    """Return ``names`` less those that are gone, in order."""
    dropped = set(gone)
    return tuple(name for name in names if name not in dropped)
