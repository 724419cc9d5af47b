"""Tests of lora_widgets/widgets/monitor.py, without any front end."""

import threading
import time

import ipywidgets
import pytest
from events import started, step_done
from fake_run import FakeRun

from lora_widgets.events import Failed, Finished, Notice, PhaseProgress
from lora_widgets.widgets import kept_output
from lora_widgets.widgets.monitor import Monitor
from lora_widgets.widgets.throttle import Throttle

DONE = Finished("done", 100, 100, 12.0, ("/runs/zork.safetensors",))


class Handle:
    def __init__(self):
        self.bundles = []

    def update(self, bundle, *, raw):
        assert raw
        self.bundles.append(bundle)


@pytest.fixture
def handles(monkeypatch):
    """Stand in for the outputs of a cell."""
    made = []

    def display(*args, **kwargs):
        made.append(Handle())
        return made[-1]

    monkeypatch.setattr(kept_output, "display", display)
    return made


def widgets_in(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from widgets_in(child)


def markup(monitor):
    """Everything the monitor shows now, except its style sheet."""
    found = (w for w in widgets_in(monitor.box) if isinstance(w, ipywidgets.HTML))
    return "".join(w.value for w in found if "lw-style" not in w._dom_classes)


def count_draws(monitor):
    draws = []
    status = monitor.box.children[1]
    assert "lw-status" in status._dom_classes
    status.observe(lambda change: draws.append(change["new"]), "value")
    return draws


def test_a_whole_run_can_be_seen(tmp_path):
    monitor = Monitor()
    run = FakeRun(monitor, steps=20, step_s=0.0, folder=tmp_path)
    monitor.bind(run)
    run.start()
    assert run.done.wait(30)
    assert run.error is None
    text = markup(monitor)
    for part in (
        "Done",
        "20 of 20 steps",
        "zork.safetensors",
        "Before",
        "Step 20",
        "2 pictures without a caption",
    ):
        assert part in text
    assert 'class="lw-line lw-loss"' in text


def test_steps_are_drawn_at_most_twice_a_second(clock):
    monitor = Monitor(Throttle(clock))
    monitor(started(1000))
    draws = count_draws(monitor)
    for step in range(1, 1001):
        clock.now += 0.01
        monitor(step_done(step))
    assert 15 <= len(draws) <= 20


def test_no_step_is_lost_when_it_is_not_drawn(clock):
    monitor = Monitor(Throttle(clock))
    monitor(started(100))
    for step in range(1, 101):
        monitor(step_done(step))
    monitor(DONE)
    assert "100 of 100 steps" in markup(monitor)
    assert len(monitor._history) == 100


@pytest.mark.parametrize("event", [started(10), PhaseProgress("saving", 0, 1), DONE, Failed("x", "y", None)])
def test_a_turn_of_events_is_drawn_at_once(clock, event):
    monitor = Monitor(Throttle(clock))
    monitor(PhaseProgress("loading", 0, 1))
    draws = count_draws(monitor)
    monitor(event)
    assert len(draws) == 1


def test_progress_within_a_phase_waits_its_turn(clock):
    monitor = Monitor(Throttle(clock))
    monitor(PhaseProgress("caching latents", 0, 100))
    draws = count_draws(monitor)
    for done in range(1, 50):
        monitor(PhaseProgress("caching latents", done, 100))
    assert draws == []


class Wishes:
    """The part of a run that buttons see."""

    alive, paused = True, False

    def pause(self):
        self.paused = True

    def unpause(self):
        self.paused = False

    def stop(self):
        pass


def test_pausing_and_stopping_are_drawn_with_the_next_event(clock):
    monitor, run = Monitor(Throttle(clock)), Wishes()
    monitor.bind(run)
    monitor(started(100))
    pause, stop = (w for w in widgets_in(monitor.box) if isinstance(w, ipywidgets.Button))
    pause.click()
    monitor(step_done(1))
    assert "Paused" in markup(monitor)
    pause.click()
    monitor(step_done(2))
    assert "Paused" not in markup(monitor)
    stop.click()
    monitor(step_done(3))
    assert "Stopping" in markup(monitor)


def test_buttons_of_a_run_that_ended_before_they_came_are_off():
    monitor = Monitor()
    monitor(DONE)
    monitor.bind(Wishes())
    assert all(w.disabled for w in widgets_in(monitor.box) if isinstance(w, ipywidgets.Button))


def test_a_click_meant_for_an_earlier_run_does_not_reach_the_next():
    monitor, first, second = Monitor(), Wishes(), Wishes()
    monitor.bind(first)
    stale, _ = (w for w in widgets_in(monitor.box) if isinstance(w, ipywidgets.Button))
    first.alive = False
    monitor.bind(second)
    stale.click()
    assert not second.paused


def test_the_end_leaves_a_picture_and_a_summary_in_the_cell(handles, sample):
    monitor = Monitor()
    monitor.display()
    monitor(started(2))
    for event in (sample(0), step_done(1), step_done(2), sample(2), Notice("info", "hello"), DONE):
        monitor(event)
    summary, picture = handles
    (kept,) = summary.bundles
    assert set(kept) == {"text/html", "text/plain"}
    assert kept["text/html"].count("<img") == 2
    assert "/runs/zork.safetensors" in kept["text/plain"]
    assert picture.bundles[0]["image/png"].startswith("iVBOR")
    assert "text/html" not in picture.bundles[0]


def test_the_end_is_kept_once(handles):
    monitor = Monitor()
    monitor.display()
    monitor(DONE)
    monitor.finish()
    monitor.finish()
    assert [len(handle.bundles) for handle in handles] == [1, 1]


def test_a_failure_is_kept_too(handles):
    monitor = Monitor()
    monitor.display()
    monitor(Failed("No memory.", "Use a smaller batch.", None))
    assert "Use a smaller batch." in handles[0].bundles[0]["text/html"]
    assert "Failed" in markup(monitor)


def test_without_a_display_nothing_is_kept():
    Monitor()(DONE)


def test_hostile_texts_stay_text(handles, sample):
    bad = "<script>alert(1)</script>"
    monitor = Monitor()
    monitor.display()
    events = (started(2, name=bad), PhaseProgress(bad, 0, 1), Notice("warning", bad), sample(0, prompt=bad))
    for event in (*events, Failed(bad, bad, bad)):
        monitor(event)
        monitor._draw()
        assert "<script" not in markup(monitor)
    assert "<script" not in handles[0].bundles[0]["text/html"]
    assert "&lt;script&gt;" in markup(monitor)


def test_only_the_training_thread_writes_the_widgets(tmp_path):
    monitor = Monitor(Throttle(lambda: 0.0))
    run = FakeRun(monitor, steps=10, step_s=0.0, folder=tmp_path)
    monitor.bind(run)
    writers = set()
    for widget in widgets_in(monitor.box):
        widget.observe(lambda change: writers.add(threading.current_thread()))
    run.start()
    for button in (w for w in widgets_in(monitor.box) if isinstance(w, ipywidgets.Button)):
        button.click()
    assert run.done.wait(30)
    assert writers == {run.thread}


def test_drawing_a_long_run_is_cheap():
    monitor = Monitor()
    monitor(started(20_000))
    for step in range(1, 20_001):
        monitor._history.append(step_done(step))
    begin = time.thread_time()
    monitor._draw()
    assert time.thread_time() - begin < 1.0


def test_layouts_are_shared():
    widgets = [w for w in widgets_in(Monitor().box) if not isinstance(w, ipywidgets.Button)]
    assert len({w.layout.model_id for w in widgets}) == 1


def test_a_further_view_shows_the_same_widget(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    monitor = Monitor()
    monitor._ipython_display_()
    assert shown == [monitor.box]
