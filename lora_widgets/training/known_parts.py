"""Parts of base models that are known without loading them, and are loaded only where something is missing.

A cache is found by the fingerprint of what encoded it, which takes the weights in memory. So it is remembered
in the cache folder, by the part's origin: its files with their sizes and times, and all else that decides it.
Whatever is not exactly as it was is loaded, and its fingerprint is taken from the weights again.
"""

import logging
import re
import uuid
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import torch

from lora_widgets.config.phases import LOADING
from lora_widgets.data.last_use import note_use
from lora_widgets.events import Event, PhaseProgress
from lora_widgets.training.precision import Precision

_TEXT, _VAE, _DENOISER = range(3)
_NUM_PARTS = 3
_FINGERPRINT = re.compile(r"[0-9a-f]{32}")


class Part(Protocol):
    """A part of a base model that encodes what a cache keeps."""

    def load(self, device: torch.device | str, dtype: torch.dtype) -> None:
        """Load it."""
        ...

    def origin(self, dtype: torch.dtype) -> str | None:
        """Return what tells it from others without loading it, None if nothing does."""
        ...

    def fingerprint(self) -> str:
        """Return a hash of all that decides the outputs of the loaded part."""
        ...


class KnownParts:
    """Fingerprints of parts by origin, each in a small file of its own; ``folder`` need not exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fingerprint_of(self, origin: str) -> str | None:
        """Return the fingerprint of the part with this origin, None where it is not known."""
        try:
            found = (self._folder / origin).read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        if not _FINGERPRINT.fullmatch(found):
            return None
        note_use(self._folder / origin)
        return found

    def remember(self, origin: str, fingerprint: str) -> None:
        """Keep a fingerprint; where that cannot be done, the next run loads the part again."""
        new = self._folder / f"{origin}-{uuid.uuid4().hex[:8]}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            new.write_text(fingerprint, encoding="ascii")
            new.replace(self._folder / origin)
        except OSError as error:
            with suppress(OSError):
                new.unlink()
            logging.getLogger(__name__).warning("no part is remembered in %s: %s", self._folder, error)


class PartOnDemand:
    """A part that is loaded when it is needed; ``is_loaded`` tells whether it was.

    Args:
        number: how many parts are loaded before it, for the progress.
    """

    def __init__(self, part: Part, known: KnownParts, precision: Precision, *, number: int) -> None:
        self._part, self._known, self._precision, self._number = part, known, precision, number
        self._origin: str | None = None
        self.is_loaded = False

    @classmethod
    def text(cls, part: Part, known: KnownParts, precision: Precision) -> "PartOnDemand":
        """Return the text encoders."""
        return cls(part, known, precision, number=_TEXT)

    @classmethod
    def vae(cls, part: Part, known: KnownParts, precision: Precision) -> "PartOnDemand":
        """Return the autoencoder."""
        return cls(part, known, precision, number=_VAE)

    def expected(self) -> str | None:
        """Return its fingerprint if that is known without loading it, else None; ask before it is loaded."""
        self._origin = self._part.origin(self._precision.weights)
        return None if self._origin is None else self._known.fingerprint_of(self._origin)

    def load(self) -> Generator[Event, None, None]:
        """Load it, with progress.

        Raises:
            ModelError: it cannot be loaded.
        """
        yield from _loading(
            self._number, lambda: self._part.load(self._precision.device, self._precision.weights)
        )
        self.is_loaded = True

    def pass_over(self) -> Generator[Event, None, None]:
        """Tell that it need not be loaded."""
        yield PhaseProgress(LOADING, self._number + 1, _NUM_PARTS)

    def fingerprint(self) -> str:
        """Return the fingerprint of the loaded part; remembered unless files changed since `expected`."""
        found = self._part.fingerprint()
        if self._origin is not None and self._part.origin(self._precision.weights) == self._origin:
            self._known.remember(self._origin, found)
        return found


def loading_denoiser(load: Callable[[], None]) -> Generator[Event, None, None]:
    """Load the denoiser, which comes last, with progress."""
    yield from _loading(_DENOISER, load)


def _loading(number: int, load: Callable[[], None]) -> Generator[Event, None, None]:
    yield PhaseProgress(LOADING, number, _NUM_PARTS)
    load()
    yield PhaseProgress(LOADING, number + 1, _NUM_PARTS)
