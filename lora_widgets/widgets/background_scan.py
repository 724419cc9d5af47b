"""Look at the disk without making anyone wait: on threads of its own, and only the newest look counts."""

import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from lora_widgets.config.findings import Finding, Severity
from lora_widgets.widgets.look_around import FOLDER, LookAround, Seen, watched

DELAY_S = 0.3  # settings often change several at a time


class Look(Protocol):
    """What looks; it gets the settings as entered."""

    def __call__(self, values: Mapping[str, object]) -> Seen:
        """Look."""
        ...

    def forget(self) -> None:
        """Take nothing from the last look."""
        ...


class BackgroundScan:
    """Keeps ``seen`` true to the settings; ``pending`` says that a newer look is on its way.

    Every look has a number; one that was overtaken by a change of the settings is dropped. Looks cannot be
    cancelled, but they only read.

    Args:
        found: called with ``lock`` held when a new look has been taken up.
        lock: guards the panel; results are taken up while holding it.
        look: what looks.
    """

    def __init__(
        self,
        found: Callable[[], None],
        *,
        lock: "threading.RLock",
        look: Look | None = None,
    ) -> None:
        self.seen = Seen()
        self.pending = False
        self._found, self._lock, self._look = found, lock, look or LookAround()
        self._watched: dict[str, object] | None = None
        self._number = 0
        self._timer: threading.Timer | None = None

    def watch(self, values: Mapping[str, object]) -> None:
        """Look again if a setting that matters has changed since the last time; cheap otherwise."""
        now, before = watched(values), self._watched
        if now == before:
            return
        self._watched = now
        if before is not None:
            self.seen = self.seen.still_true(name for name in now if before.get(name) != now[name])
        self._begin(values, delay_s=0 if before is None else DELAY_S)

    def again(self, values: Mapping[str, object]) -> None:
        """Look at once, whether or not a setting has changed: the disk may have."""
        self._watched = watched(values)
        self._look.forget()
        self._begin(values, delay_s=0)

    def _begin(self, values: Mapping[str, object], *, delay_s: float) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._number += 1
            self.pending = True
            self._timer = threading.Timer(delay_s, self._work, (self._number, dict(values)))
            self._timer.name, self._timer.daemon = "lora-widgets-scan", True
            self._timer.start()

    def _work(self, number: int, values: Mapping[str, object]) -> None:
        try:
            seen = self._look(values)
        except Exception as error:  # the boundary of the thread: nobody would read its traceback
            seen = Seen(findings=(_broken(error),))
        with self._lock:
            if number != self._number:
                return
            self.seen, self.pending = seen, False
            self._found()


def _broken(error: Exception) -> Finding:
    message = f"The pictures could not be counted: {type(error).__name__}: {error}."
    remedy = "This is a mistake in the program; training looks at the pictures again and may still work."
    return Finding(Severity.WARNING, (FOLDER,), message, remedy)
