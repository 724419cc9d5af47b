"""Tests of lora_widgets/widgets/buttons.py."""

import ipywidgets
import pytest

from lora_widgets.widgets.buttons import RunButtons


class Run:
    def __init__(self, *, alive=True):
        self.alive, self.paused, self.calls = alive, False, []

    def stop(self):
        self.calls.append("stop")

    def pause(self):
        self.paused = True
        self.calls.append("pause")

    def unpause(self):
        self.paused = False
        self.calls.append("unpause")


@pytest.fixture
def run():
    return Run()


@pytest.fixture
def buttons(run):
    return RunButtons(run, ipywidgets.Layout())


def click(buttons, number):
    buttons.box.children[number].click()


def test_pause_and_go_on(run, buttons):
    click(buttons, 0)
    click(buttons, 0)
    assert run.calls == ["pause", "unpause"]


def test_stop_is_asked_once_and_shown(run, buttons):
    click(buttons, 1)
    assert run.calls == ["stop"]
    assert buttons.stop_asked


def test_a_stale_click_does_nothing(run, buttons):
    run.alive = False
    click(buttons, 0)
    click(buttons, 1)
    assert run.calls == []
    assert not buttons.stop_asked


def test_handlers_write_no_widget(run, buttons):
    written = []
    for button in buttons.box.children:
        button.observe(lambda change: written.append(change["name"]))
    click(buttons, 0)
    click(buttons, 1)
    assert written == []


def test_drawing_shows_what_the_next_click_does(run, buttons):
    pause, stop = buttons.box.children
    click(buttons, 0)
    buttons.draw(ended=False)
    assert pause.description == "Continue"
    click(buttons, 0)
    buttons.draw(ended=False)
    assert pause.description == "Pause"
    buttons.draw(ended=True)
    assert pause.disabled
    assert stop.disabled


def test_clicks_are_left_to_the_thread_the_page_chose(monkeypatch, run):
    class Comm:
        comm_id = "1"

        def _reply_subshell_for(self, data, default):
            return "the busy thread"

        def __getattr__(self, name):
            return lambda *args, **kwargs: None

    monkeypatch.setattr(ipywidgets.Button, "comm", Comm(), raising=False)
    buttons = RunButtons(run, ipywidgets.Layout())
    assert buttons.box.children[0].comm._reply_subshell_for is None
