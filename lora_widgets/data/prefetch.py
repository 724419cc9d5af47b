"""One background thread that prepares the next values while the current one is used."""

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

Value = TypeVar("Value")
CLOSING_PATIENCE_S = 2.0


class Prefetcher(Generic[Value]):
    """Iterate ``make(start) ... make(stop - 1)`` in order, prepared up to ``ahead`` values in advance.

    An exception in ``make`` is raised in the consumer, after the values made before it. ``close`` may be
    called from any thread, at any time and more than once; it ends a waiting consumer, and never waits long
    for a ``make`` that is stuck: the thread is a daemon and ends by itself.
    """

    def __init__(self, make: Callable[[int], Value], *, start: int, stop: int, ahead: int) -> None:
        self._make = make
        self._ready: deque[Value] = deque()
        self._ahead = max(1, ahead)
        self._changed = threading.Condition()
        self._closed = False
        self._finished = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._work, args=(range(start, stop),), name="lora-widgets-prefetch", daemon=True
        )
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Value:
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._finished or self._closed)
            if self._closed:
                raise StopIteration
            if self._ready:
                value = self._ready.popleft()
                self._changed.notify_all()
                return value
            if self._error is not None:
                raise self._error
            raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop preparing, drop what is ready, and end the thread."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=CLOSING_PATIENCE_S)

    def _work(self, indices: range) -> None:
        try:
            for index in indices:
                if not self._wait_for_room():
                    return
                value = self._make(index)
                self._hand_over(value)
        except BaseException as error:  # the thread's boundary: the consumer raises it
            self._error = error
        finally:
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _wait_for_room(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._ready) < self._ahead)
            return not self._closed

    def _hand_over(self, value: Value) -> None:
        with self._changed:
            if not self._closed:
                self._ready.append(value)
                self._changed.notify_all()
