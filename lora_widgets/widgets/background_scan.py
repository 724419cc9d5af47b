"""Look at the disk without making anyone wait: on threads of its own, and only the newest look counts."""

import threading
from collections.abc import Callable, Mapping

from lora_widgets.config.findings import Finding, Severity
from lora_widgets.widgets.look_around import FOLDER, LOOKED_AT, Seen, look

DELAY_S = 0.3  # settings often change several at a time


class BackgroundScan:
    """Keeps ``seen`` true to the settings; ``pending`` says that a newer look is on its way.

    Every look has a number; one that was overtaken by a change of the settings is dropped. Looks cannot be
    cancelled, but they only read.

    Args:
        found: called with ``lock`` held when a new look has been taken up.
        lock: guards the panel; results are taken up while holding it.
        look: what looks; it gets the settings as entered.
    """

    def __init__(
        self,
        found: Callable[[], None],
        *,
        lock: "threading.RLock",
        look: Callable[[Mapping[str, object]], Seen] = look,
    ) -> None:
        self.seen = Seen()
        self.pending = False
        self._found, self._lock, self._look = found, lock, look
        self._key: tuple[object, ...] | None = None
        self._number = 0
        self._timer: threading.Timer | None = None

    def watch(self, values: Mapping[str, object]) -> None:
        """Look again if a setting that matters has changed since the last time; cheap otherwise."""
        key = tuple(values.get(name) for name in LOOKED_AT)
        if key == self._key:
            return
        is_first, before = self._key is None, self._key or key
        self._key = key
        changed = [name for name, old, new in zip(LOOKED_AT, before, key, strict=True) if old != new]
        self.seen = self.seen.still_true(changed)
        self._begin(values, delay_s=0 if is_first else DELAY_S)

    def again(self, values: Mapping[str, object]) -> None:
        """Look at once, whether or not a setting has changed: the disk may have."""
        self._key = tuple(values.get(name) for name in LOOKED_AT)
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
