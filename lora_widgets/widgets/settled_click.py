"""Clicks that act on what the form holds: they wait until everything entered before them has arrived."""

import threading
from collections.abc import Callable

import ipywidgets

SETTLE_S = 0.3


class SettledClick:
    """Calls ``action`` a moment after each click on ``button``, on a thread of its own.

    While the kernel is busy, a page holds back what is typed but not clicks, which so arrive first. A click
    during the wait or during the action changes nothing.

    Args:
        button: what is clicked.
        action: what to do.
        failed: gets the exception that ``action`` raised; a thread's traceback would be read by nobody.
    """

    def __init__(
        self,
        button: ipywidgets.Button,
        action: Callable[[], None],
        *,
        failed: Callable[[Exception], None],
    ) -> None:
        self._action, self._failed = action, failed
        self._busy = threading.Lock()
        button.on_click(self._clicked)

    def _clicked(self, _: ipywidgets.Button) -> None:
        if not self._busy.acquire(blocking=False):
            return
        timer = threading.Timer(SETTLE_S, self._act)
        timer.name, timer.daemon = "lora-widgets-click", True
        timer.start()

    def _act(self) -> None:
        try:
            self._action()
        except Exception as error:  # the boundary of the thread
            self._failed(error)
        finally:
            self._busy.release()
