"""The Pause and Stop buttons of one run."""

import contextlib
from typing import Protocol

import ipywidgets


class Stoppable(Protocol):
    """The part of a run that buttons need."""

    @property
    def alive(self) -> bool:
        """Whether training is going on."""
        ...

    @property
    def paused(self) -> bool:
        """Whether the run was asked to pause."""
        ...

    def stop(self) -> None:
        """Ask the run to end after the step it is doing."""
        ...

    def pause(self) -> None:
        """Ask the run to wait before its next step."""
        ...

    def unpause(self) -> None:
        """Let the run go on."""
        ...


class RunButtons:
    """Two buttons that act on ``run`` and no other; ``box`` is their widget.

    A click made while a cell blocks may be delivered after that cell, and then must not hit the next run:
    every run gets buttons of its own, and clicks on those of an ended run do nothing. The handlers run on
    whatever thread the kernel chooses, so all they do is set the run's events; the training thread shows
    the effect.
    """

    def __init__(self, run: Stoppable, layout: ipywidgets.Layout) -> None:
        self._run = run
        self.stop_asked = False
        self._pause = _button("Pause", icon="pause", tooltip="Wait after this step; click again to go on")
        self._stop = _button("Stop", icon="stop", tooltip="End after this step and save everything")
        self._pause.on_click(self._on_pause)
        self._stop.on_click(self._on_stop)
        self.box = ipywidgets.HBox([self._pause, self._stop], layout=layout)
        self.box.add_class("lw-buttons")

    @property
    def paused(self) -> bool:
        """Whether the run was asked to pause."""
        return self._run.alive and self._run.paused

    def draw(self, *, ended: bool) -> None:
        """Show what a click will do next; called by the training thread."""
        paused = self.paused
        self._pause.description = "Continue" if paused else "Pause"
        self._pause.icon = "play" if paused else "pause"
        self._pause.disabled = ended or self.stop_asked
        self._stop.disabled = ended or self.stop_asked

    def _on_pause(self, _: ipywidgets.Button) -> None:
        if not self._run.alive:
            return
        if self._run.paused:
            self._run.unpause()
        else:
            self._run.pause()

    def _on_stop(self, _: ipywidgets.Button) -> None:
        if self._run.alive:
            self.stop_asked = True
            self._run.stop()


def _button(text: str, *, icon: str, tooltip: str) -> ipywidgets.Button:
    button = ipywidgets.Button(description=text, icon=icon, tooltip=tooltip)
    button.add_class("lw-button")
    _leave_clicks_to_the_page(button)
    return button


def _leave_clicks_to_the_page(button: ipywidgets.Button) -> None:
    """Let clicks arrive on the thread the page chose, so that they work while a cell blocks.

    ipykernel 7.4 sends a widget's messages to the thread that last wrote to it, which is the busy one. The
    attribute is private: without it, as in other versions, nothing changes.
    """
    comm = getattr(button, "comm", None)
    if comm is not None and hasattr(comm, "_reply_subshell_for"):
        with contextlib.suppress(Exception):
            comm._reply_subshell_for = None
