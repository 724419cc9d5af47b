"""Wait for a run in a cell, so that the square "interrupt" button ends it tidily and clicks still arrive."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Any

from lora_widgets.waiting import Waitable, wait_for
from lora_widgets.widgets.frontend import in_notebook


def wait(run: Waitable) -> None:
    """Block until the run is done, then raise its error if it failed; interrupts are those of `wait_for`."""
    with pump() as deliver:
        wait_for(run, meanwhile=deliver)


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


def _ui_events() -> Callable[[], Any] | None:
    """Return the context manager of `jupyter_ui_poll` where it is needed and there."""
    if not in_notebook():
        return None
    if version("ipykernel").split(".")[0] != "6":
        return None
    try:
        package: Any = import_module("jupyter_ui_poll")  # optional: no type checker can count on it
    except ImportError:
        return None
    return package.ui_events
