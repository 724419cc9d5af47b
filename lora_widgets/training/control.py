"""What other threads may ask of a training: to stop, to wait, to go on."""

import threading


class Stopped(Exception):
    """A stop was asked for before the first step; nothing was trained, so nothing is saved."""


class Control:
    """Two thread-safe flags, read by the loop between steps."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._go = threading.Event()
        self._go.set()

    def stop(self) -> None:
        """Ask for a tidy end after the step in progress; ends a pause too."""
        self._stop.set()
        self._go.set()

    def pause(self) -> None:
        """Ask to wait after the step in progress."""
        if not self._stop.is_set():
            self._go.clear()

    def unpause(self) -> None:
        """Let a paused training go on."""
        self._go.set()

    @property
    def paused(self) -> bool:
        """Whether a pause was asked for."""
        return not self._go.is_set()

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop.is_set()

    def checkpoint(self) -> bool:
        """Wait while paused; return whether to stop."""
        self._go.wait()
        return self._stop.is_set()

    def leave_if_stopping(self) -> None:
        """Wait while paused; raise `Stopped` where a stop was asked for."""
        if self.checkpoint():
            raise Stopped
