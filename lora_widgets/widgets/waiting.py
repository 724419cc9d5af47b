"""Wait for a run in a cell, so that the square "interrupt" button ends it tidily and clicks still arrive."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Protocol

from lora_widgets.widgets.frontend import in_notebook

POLL_S = 0.05


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


def wait(run: Waitable) -> None:
    """Block until the run is done, then raise its error if it failed.

    The first interrupt stops the run and goes on waiting while it finishes its step and saves. A second one
    gives the prompt back with KeyboardInterrupt; the worker still winds up by itself.
    """
    with pump() as deliver:
        try:
            _until_done(run, deliver)
        except KeyboardInterrupt:
            run.stop()
            _until_done(run, deliver)
    if run.error is not None:
        raise run.error


@contextmanager
def pump() -> Iterator[Callable[[], None]]:
    """Yield a callable that delivers clicks while a cell blocks.

    Kernels of ipykernel 6 (Colab) need `jupyter_ui_poll` for that; without it, and elsewhere, the callable
    does nothing: ipykernel 7 delivers clicks on a thread of its own.
    """
    poll_events = _ui_events()
    if poll_events is None:
        yield lambda: None
        return
    with poll_events() as poll:
        yield lambda: poll(5)


def _ui_events() -> Callable | None:
    if not in_notebook():
        return None
    if version("ipykernel").split(".")[0] != "6":
        return None
    try:
        from jupyter_ui_poll import ui_events
    except ImportError:
        return None
    return ui_events


def _until_done(run: Waitable, deliver: Callable[[], None]) -> None:
    # An event and not Thread.join: up to Python 3.12 an interrupted join believes that the thread has ended.
    while not run.done.is_set():
        deliver()
        run.done.wait(POLL_S)
