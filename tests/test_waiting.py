"""Tests of lora_widgets/waiting.py."""

import threading

import pytest

from lora_widgets.waiting import wait_for


class Run:
    """Ends when asked to stop, unless it is deaf."""

    def __init__(self, *, error=None, deaf=False):
        self.done, self.error, self.stops, self.deaf = threading.Event(), error, 0, deaf

    def stop(self):
        self.stops += 1
        if not self.deaf:
            self.done.set()


def interrupts(number):
    left = [None] * number

    def meanwhile():
        if left:
            left.pop()
            raise KeyboardInterrupt

    return meanwhile


def test_a_run_that_ends_by_itself_was_not_interrupted():
    run = Run()
    threading.Timer(0.02, run.done.set).start()
    assert wait_for(run) is False
    assert run.stops == 0


def test_the_first_interrupt_stops_the_run_and_is_told_after_that():
    run, told = Run(), []
    assert wait_for(run, meanwhile=interrupts(1), on_interrupt=lambda: told.append(run.stops)) is True
    assert told == [1]


def test_the_second_interrupt_gives_the_prompt_back_without_stopping_again():
    run, told = Run(deaf=True), []
    with pytest.raises(KeyboardInterrupt):
        wait_for(run, meanwhile=interrupts(2), on_interrupt=lambda: told.append("once"))
    assert (run.stops, told) == (1, ["once"])


@pytest.mark.parametrize("number", [0, 1])
def test_what_ended_the_run_is_raised_also_after_an_interrupt(number):
    run = Run(error=ValueError("not finite"))
    if not number:
        run.done.set()
    with pytest.raises(ValueError, match="not finite"):
        wait_for(run, meanwhile=interrupts(number))
