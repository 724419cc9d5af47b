"""Tests of lora_widgets/widgets/status_view.py."""

import re

import pytest
from events import started, step_done

from lora_widgets.events import Failed, Finished, PhaseProgress
from lora_widgets.widgets.progress import Progress
from lora_widgets.widgets.status_view import Surroundings, activity, status_html

DONE = Finished("done", 100, 100, 61.0, ())


def progress_of(*events):
    progress = Progress()
    for event in events:
        progress.take(event)
    return progress


def text_of(markup):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", markup))


@pytest.mark.parametrize(
    ("events", "around", "state"),
    [
        ([], Surroundings(), "preparing"),
        ([PhaseProgress("caching latents", 1, 2)], Surroundings(), "preparing"),
        ([started(100)], Surroundings(), "training"),
        ([started(100)], Surroundings(paused=True), "paused"),
        ([started(100)], Surroundings(paused=True, stopping=True), "stopping"),
        ([started(100), DONE], Surroundings(stopping=True), "done"),
        ([started(100), Finished("stopped", 7, 100, 1.0, ())], Surroundings(), "stopped"),
        ([started(100), Failed("no memory", "use less", None)], Surroundings(), "failed"),
    ],
)
def test_what_the_run_does(events, around, state):
    assert activity(progress_of(*events), around)[0] == state


def test_figures_of_a_run_in_the_middle():
    steps = [step_done(i, seconds=0.5) for i in range(1, 26)]
    text = text_of(status_html(progress_of(started(100), *steps), Surroundings(memory=1_230_000_000)))
    for part in ("zork", "Training", "25 %", "Step 25 of 100", "Epoch 1 of 2", "Time left 38 s", "1.2 GB"):
        assert part in text
    assert "Speed 0.500 s per step, 16.0 pictures/s" in text


def test_the_bar_counts_the_phase_before_the_first_step():
    markup = status_html(progress_of(PhaseProgress("caching latents", 3, 12)), Surroundings())
    assert "Caching latents" in markup
    assert 'aria-valuenow="3"' in markup
    assert "width:25.0%" in markup


def test_a_phase_says_how_long_still():
    now = [0.0]
    progress = Progress(lambda: now[0])
    for done in range(3):
        progress.take(PhaseProgress("encoding pictures", done, 12))
        now[0] += 30
    assert "2 of 12, 7:30 left" in text_of(status_html(progress, Surroundings()))


def test_the_bar_keeps_counting_steps_while_samples_are_drawn():
    events = [started(100), step_done(50), PhaseProgress("drawing samples", 1, 4)]
    markup = status_html(progress_of(*events), Surroundings())
    assert 'aria-valuenow="50"' in markup
    assert "1 of 4" in markup


def test_a_pause_during_samples_is_shown_as_a_pause():
    events = [started(100), step_done(50), PhaseProgress("drawing samples", 1, 4)]
    text = text_of(status_html(progress_of(*events), Surroundings(paused=True)))
    assert "Paused" in text
    assert "1 of 4" not in text


def test_a_phase_of_unknown_length_can_be_shown():
    assert "width:0.0%" in status_html(progress_of(PhaseProgress("loading", 0, 0)), Surroundings())


def test_the_time_of_a_finished_run_is_told():
    assert "1:01" in text_of(status_html(progress_of(started(100), DONE), Surroundings()))


def test_texts_are_escaped():
    events = [started(10, name="<script>alert(1)</script>"), PhaseProgress("<b>", 0, 1)]
    markup = status_html(progress_of(*events), Surroundings())
    assert "<script" not in markup
    assert "<b>" not in markup
