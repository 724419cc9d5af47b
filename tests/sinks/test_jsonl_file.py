"""Tests of lora_widgets/sinks/jsonl_file.py."""

import json
import math
from dataclasses import replace

import pytest
from events import started, step_done
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.events import (
    Failed,
    Finished,
    MemoryPeak,
    Notice,
    PhaseProgress,
    SampleReady,
    Saved,
    TimeEstimate,
)
from lora_widgets.sinks.jsonl_file import EVENTS, JsonlFile, as_line, read_events

STEP = step_done(3)
EVERY_KIND = [
    PhaseProgress("caching latents", 1, 16),
    started(100),
    STEP,
    SampleReady(3, 1, 0, "a zork, größer", 42, "/runs/sample/1.png", 0.5),
    Saved("weights", 3, 1, "/runs/zork.safetensors"),
    Notice("warning", 'quotes " and\nlines'),
    Finished("done", 100, 100, 12.5, ("/runs/a", "/runs/b")),
    MemoryPeak("Training", 2_000_000_000, 2_100_000_000, "GPU memory"),
    TimeEstimate(995, 1.3, 1300.5),
    Failed("no memory", "use a smaller batch", None),
]


def test_what_was_written_comes_back(tmp_path):
    journal = JsonlFile(tmp_path / "deep" / "zork.events.jsonl")
    for event in EVERY_KIND:
        journal(event)
    assert read_events(journal.path) == EVERY_KIND
    journal.close()


def test_every_kind_of_event_is_covered():
    assert {type(event).__name__ for event in EVERY_KIND} == set(EVENTS)


def test_each_line_is_on_disk_before_the_next_event(tmp_path):
    journal = JsonlFile(tmp_path / "events.jsonl")
    for count in range(1, 4):
        journal(STEP)
        assert len(read_events(journal.path)) == count
    journal.close()


def test_a_second_run_appends(tmp_path):
    for _ in range(2):
        journal = JsonlFile(tmp_path / "events.jsonl")
        journal(STEP)
        journal.close()
    assert read_events(tmp_path / "events.jsonl") == [STEP, STEP]


def test_a_line_torn_by_a_crash_costs_only_itself(tmp_path, caplog):
    path = tmp_path / "events.jsonl"
    path.write_text(as_line(STEP, 0.0) + as_line(STEP, 0.0)[:30], encoding="utf-8")
    journal = JsonlFile(path)
    journal(STEP)
    journal.close()
    assert read_events(path) == [STEP, STEP]
    assert "line 2" in caplog.text


def test_an_event_of_a_newer_version_is_passed_over(tmp_path, caplog):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "Teleported", "step": 1}\n' + as_line(STEP, 0.0), encoding="utf-8")
    assert read_events(path) == [STEP]
    assert "line 1" in caplog.text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_strict_json_and_comes_back_as_nan(tmp_path, value):
    path = tmp_path / "events.jsonl"
    path.write_text(as_line(replace(STEP, loss=value, learning_rates={"unet": value}), 0.0), encoding="utf-8")

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(path.read_text(), parse_constant=refuse)["loss"] is None
    (event,) = read_events(path)
    assert math.isnan(event.loss)
    assert math.isnan(event.learning_rates["unet"])
    assert event.grad_norm == 0.5


@given(st.text())
def test_any_text_keeps_to_one_line(text):
    line = as_line(Notice("info", text), 0.0)
    assert line.count("\n") == 1
    assert json.loads(line)["message"] == text


def test_the_file_is_closed_with_the_last_event(tmp_path):
    journal = JsonlFile(tmp_path / "events.jsonl")
    journal(STEP)
    journal(Finished("done", 1, 1, 1.0, ()))
    assert journal._file is None
