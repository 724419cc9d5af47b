"""Decide when drawing is due, so that it never costs training noticeable time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GAP_S = 0.5  # twice a second is smooth enough to watch, and far below the server's limit of messages
SHARE = 0.01  # of the wall time may go into drawing


class Throttle:
    """Allow drawing at most every ``GAP_S`` seconds and for at most ``SHARE`` of the time.

    Args:
        clock: seconds from any origin, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock()

    def due(self) -> bool:
        """Return whether enough time has passed since the last drawing."""
        return self._clock() >= self._next

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Measure a drawing and put off the next one accordingly."""
        start = self._clock()
        yield
        end = self._clock()
        self._next = end + max(GAP_S, (end - start) * (1 / SHARE - 1))
