"""Tests of lora_widgets/widgets/waiting.py."""

import contextlib
import sys
import threading
from types import SimpleNamespace

import pytest

from lora_widgets.widgets import waiting
from lora_widgets.widgets.waiting import pump, wait


class Run:
    """Ends by itself after ``seconds``, or a moment after it is asked to stop."""

    def __init__(self, *, seconds=0.05, error=None):
        self.done, self.error, self.stops = threading.Event(), error, 0
        self._timer = threading.Timer(seconds, self.done.set)
        self._timer.start()

    def stop(self):
        self.stops += 1
        self._timer.cancel()
        threading.Timer(0.1, self.done.set).start()


@pytest.fixture
def interrupts(monkeypatch):
    """Let the given number of interrupts hit the wait, one for each look at the clicks."""
    left = []

    def deliver():
        if left:
            left.pop()
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def interrupting_pump():
        yield deliver

    monkeypatch.setattr(waiting, "pump", interrupting_pump)
    return left


def test_waiting_ends_with_the_run():
    run = Run()
    wait(run)
    assert run.done.is_set()
    assert run.stops == 0


def test_an_error_of_the_run_is_raised_in_the_cell():
    with pytest.raises(ValueError, match="not finite"):
        wait(Run(error=ValueError("the loss is not finite")))


def test_the_first_interrupt_stops_the_run_and_waits_for_it(interrupts):
    interrupts.append(1)
    run = Run(seconds=60)
    wait(run)
    assert run.stops == 1
    assert run.done.is_set()


def test_the_second_interrupt_gives_the_prompt_back(interrupts):
    interrupts.extend([1, 2])
    run = Run(seconds=60)
    with pytest.raises(KeyboardInterrupt):
        wait(run)
    assert run.stops == 1
    assert not run.done.is_set()
    run.done.wait(5)


def test_outside_a_kernel_nothing_is_pumped():
    with pump() as deliver:
        assert deliver() is None


@pytest.mark.parametrize(("ipykernel", "polled"), [("6.17.1", True), ("7.4.0", False)])
def test_clicks_are_polled_on_old_kernels_only(monkeypatch, ipykernel, polled):
    counts = []

    @contextlib.contextmanager
    def ui_events():
        yield counts.append

    monkeypatch.setitem(sys.modules, "jupyter_ui_poll", SimpleNamespace(ui_events=ui_events))
    monkeypatch.setattr(waiting, "in_notebook", lambda: True)
    monkeypatch.setattr(waiting, "version", lambda name: ipykernel)
    with pump() as deliver:
        deliver()
    assert bool(counts) is polled
