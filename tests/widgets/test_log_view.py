"""Tests of lora_widgets/widgets/log_view.py."""

import ipywidgets
import pytest
from events import started, step_done

from lora_widgets.events import Failed, Finished, Notice, PhaseProgress, Saved, TimeEstimate
from lora_widgets.widgets.log_view import MAX_LINES, LogView, entry_of


def log_of(*events):
    log = LogView(ipywidgets.Layout())
    for event in events:
        log.take(event)
    log.draw()
    return log


@pytest.mark.parametrize(
    ("event", "level", "text"),
    [
        (Notice("warning", "bf16 is not there"), "warning", "bf16 is not there"),
        (Saved("state", 5, 1, "/runs/zork-state"), "info", "Step 5: saved state zork-state"),
        (TimeEstimate(1600, 1.3, 2100.0), "info", "1,600 more steps at 1.30 s take about 35 min."),
        (Finished("stopped", 5, 9, 1.0, ()), "info", "Stopped at step 5."),
        (Failed("No memory.", "Use less.", None), "error", "No memory. Use less."),
    ],
)
def test_lines(event, level, text):
    assert entry_of(event) == (level, text)


def test_the_start_tells_what_is_trained_and_where():
    _, text = entry_of(started(100, start_step=40))
    for part in ("unet (96 modules, 811,008 parameters)", "100 steps", "cpu", "step 40", "/runs/zork"):
        assert part in text


def test_steps_and_phases_have_no_line():
    assert entry_of(step_done(1)) is None
    assert entry_of(PhaseProgress("loading", 0, 1)) is None


def test_the_log_is_bounded_and_keeps_the_newest():
    log = log_of(*(Notice("info", f"line {i};") for i in range(MAX_LINES + 50)))
    assert log.box.value.count("<time>") == MAX_LINES
    assert f"line {MAX_LINES + 49};" in log.box.value
    assert "line 49;" not in log.box.value


def test_texts_are_escaped():
    log = log_of(Notice("info", "<script>alert(1)</script>"))
    assert "<script" not in log.box.value + log.kept_html()


def test_an_empty_log_keeps_nothing():
    assert log_of().kept_html() == ""
