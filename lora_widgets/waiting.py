"""The one way to wait for a run: an interrupt ends the run tidily instead of tearing it. Imports nothing."""

import threading
from collections.abc import Callable
from typing import Protocol

POLL_S = 0.05  # also how late a click may be heard; a wait without a limit cannot be interrupted everywhere


class Waitable(Protocol):
    """The part of a run that waiting needs."""

    @property
    def done(self) -> threading.Event:
        """Set when the worker has finished everything."""
        ...

    @property
    def error(self) -> BaseException | None:
        """What ended the run, if it failed."""
        ...

    def stop(self) -> None:
        """Ask the run to end after the step it is doing."""
        ...


def _nothing() -> None:
    pass


def wait_for(
    run: Waitable,
    *,
    meanwhile: Callable[[], None] = _nothing,
    on_interrupt: Callable[[], None] = _nothing,
) -> bool:
    """Block until the run is done; return whether it was interrupted.

    The first interrupt stops the run, is told to ``on_interrupt``, and the wait goes on while the run
    finishes its step and saves. A second one gives the prompt back; the worker still winds up by itself.

    Args:
        run: what to wait for.
        meanwhile: called many times a second.
        on_interrupt: called once, after the run was asked to stop.

    Raises:
        KeyboardInterrupt: the second interrupt.
        BaseException: whatever ended the run.
    """
    interrupted = False
    # An event and not Thread.join: up to Python 3.12 an interrupted join believes that the thread has ended.
    while not run.done.is_set():
        try:
            meanwhile()
            run.done.wait(POLL_S)
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            run.stop()
            on_interrupt()
    if run.error is not None:
        raise run.error
    return interrupted
