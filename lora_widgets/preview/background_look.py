"""Open pictures without making anyone wait: on a thread of its own, those on the page first."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from lora_widgets.preview.small_pictures import Look, look_at

AT_ONCE = 16  # pictures between two answers, when none is waited for
MAX_KEPT = 3000  # pictures kept ready to be shown, about 10 kB each
THREADS = 4


class BackgroundLook:
    """Opens all pictures; ``looks`` grows until it holds every one of them.

    Args:
        paths: the files by number.
        side: pixels a side of what is kept for the eye.
        arrived: called on the thread after each portion; once more, with ``looks`` complete, at the end.
    """

    def __init__(self, paths: Mapping[int, Path], *, side: int, arrived: Callable[[], None]) -> None:
        self._paths, self._side, self._arrived = dict(paths), side, arrived
        self._looks: dict[int, Look] = {}
        self._wanted: tuple[int, ...] = ()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self.problem: Exception | None = None

    @property
    def looks(self) -> Mapping[int, Look]:
        """What has been looked at so far, by number."""
        with self._lock:
            return dict(self._looks)

    @property
    def is_complete(self) -> bool:
        """Whether every picture has been looked at."""
        return len(self._looks) == len(self._paths)

    def are_ready(self, numbers: Sequence[int]) -> bool:
        """Tell whether all these pictures can be shown."""
        return all(self._is_ready(number) for number in numbers)

    def want(self, numbers: Sequence[int]) -> None:
        """Look at these before all others."""
        with self._lock:
            self._wanted = tuple(numbers)
            if self._thread is None and not self._closed and self._next_portion():
                self._thread = threading.Thread(target=self._work, name="lora-widgets-looks", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop after the portion at hand."""
        self._closed = True

    def _work(self) -> None:
        try:
            with ThreadPoolExecutor(THREADS) as pool:
                while portion := self._portion_or_end():
                    paths = [self._paths[number] for number in portion]
                    self._keep(portion, list(pool.map(look_at, paths, [self._side] * len(paths))))
                    self._arrived()
        except Exception as error:  # the boundary of the thread: nobody would read its traceback
            self.problem = error
            self._thread = None
            self._arrived()

    def _portion_or_end(self) -> list[int]:
        """Choose what to look at next; when there is nothing, the thread is done."""
        with self._lock:
            portion = [] if self._closed else self._next_portion()
            if not portion:
                self._thread = None
            return portion

    def _next_portion(self) -> list[int]:
        waited_for = [number for number in self._wanted if not self._is_ready(number)]
        if waited_for:
            return waited_for
        rest = (number for number in self._paths if number not in self._looks)
        return [number for _, number in zip(range(AT_ONCE), rest, strict=False)]

    def _is_ready(self, number: int) -> bool:
        return number in self._looks and self._looks[number].url is not None

    def _keep(self, numbers: Sequence[int], looks: Sequence[Look]) -> None:
        with self._lock:
            for number, look in zip(numbers, looks, strict=True):
                is_kept = number in self._wanted or len(self._looks) < MAX_KEPT
                self._looks[number] = look if is_kept else replace(look, url=None)
