"""Tests of lora_widgets/widgets/panel.py: Start, the run it begins, and what comes after."""

import threading
import time

from driven_panel import LONG, LookAfter, enter, is_idle, is_settled, run_buttons, settings_of, start_and_wait
from until import until

from lora_widgets.config.findings import Severity
from lora_widgets.widgets import settled_click


def test_start_trains_what_was_entered(panel, engine):
    enter(panel, "seed", "7")
    start_and_wait(panel, engine)
    assert engine.configs == [panel.config]
    assert engine.configs[0].seed == 7
    assert panel.run is engine.runs[0]


def test_start_refuses_on_errors_and_says_which(panel, engine):
    enter(panel, "unet_lr", "fast")
    panel._start.click()
    until(lambda: "Not started" in panel._note.value)
    assert "Learning Rate: " in panel._note.value
    assert engine.runs == []
    enter(panel, "unet_lr", "1e-4")
    assert "Ready to train" in panel._note.value
    start_and_wait(panel, engine)
    assert len(engine.runs) == 1


def test_start_waits_for_what_was_typed_before_the_click(panel, engine, monkeypatch):
    monkeypatch.setattr(settled_click, "SETTLE_S", 0.2)
    panel._start.click()
    enter(panel, "seed", "99")  # arrives after the click, though it was typed before
    until(lambda: engine.configs)
    assert engine.configs[0].seed == 99


def test_an_error_typed_before_the_click_and_arriving_after_it_is_refused(panel, engine, monkeypatch):
    monkeypatch.setattr(settled_click, "SETTLE_S", 0.2)
    panel._start.click()
    enter(panel, "seed", "x")
    until(lambda: "Not started" in panel._note.value)
    assert engine.runs == []


def test_start_waits_until_the_pictures_are_counted(panel, engine):
    gate = threading.Event()
    panel._scan._look = LookAfter(lambda values: gate.wait(20))
    panel._start.click()
    until(lambda: "Checking everything" in panel._note.value)
    time.sleep(0.05)
    assert engine.runs == []
    gate.set()
    until(lambda: engine.runs)


def test_many_clicks_start_one_run(panel, engine):
    engine.options = LONG
    for _ in range(5):
        panel._start.click()
    until(lambda: panel.run is not None)
    panel._start.click()
    time.sleep(0.2)
    assert len(engine.runs) == 1
    assert panel._start.disabled


def test_while_it_trains_the_form_is_for_the_next_run(panel, engine):
    engine.options = LONG
    panel._start.click()
    until(lambda: panel.run is not None)
    enter(panel, "seed", "7")
    assert engine.configs[0].seed == 42
    assert panel.config.seed == 7
    assert "changes here are for the next run" in panel._note.value
    assert "240 steps" in panel._note.value


def test_stop_ends_the_run_and_start_is_possible_again(panel, engine):
    engine.options = LONG
    panel._start.click()
    until(lambda: panel.run is not None)
    _, stop = run_buttons(panel)
    stop.click()
    until(lambda: is_idle(panel) and not panel._start.disabled)
    assert engine.runs[0].done.is_set()


def test_a_click_on_an_ended_runs_buttons_does_nothing_to_the_next(panel, engine):
    start_and_wait(panel, engine)
    old = run_buttons(panel)
    enter(panel, "output_name", "zork-2")
    until(lambda: is_settled(panel))
    engine.options = LONG
    panel._start.click()
    until(lambda: len(engine.runs) == 2 and panel.run is engine.runs[1])
    for button in old:
        button.click()
    assert run_buttons(panel) != old
    assert engine.runs[1].alive
    assert not engine.runs[1].paused


def test_an_error_while_training_is_shown_in_the_panel(panel, engine):
    engine.options = {"steps": 5, "step_s": 0.0, "fails_at": 3}
    start_and_wait(panel, engine)
    assert "The last run failed." in panel._note.value
    assert "the loss is not finite" in panel._note.value
    assert not panel._start.disabled
    assert panel.run is engine.runs[0]


def test_a_run_that_cannot_be_started_is_shown_in_the_panel(panel, engine):
    engine.error = ImportError("no module named <torch>")
    panel._start.click()
    until(lambda: "The last run failed." in panel._note.value)
    assert "ImportError: no module named &lt;torch&gt;" in panel._note.value
    engine.error = None
    start_and_wait(panel, engine)
    assert "failed" not in panel._note.value


def test_a_second_run_of_the_same_name_is_offered_a_free_one(panel, engine, tmp_path):
    start_and_wait(panel, engine)
    assert (tmp_path / "out" / "zork.safetensors").exists()
    assert "output_name" in settings_of(panel, Severity.ERROR)
    panel._start.click()
    until(lambda: "Not started" in panel._note.value)
    (button,) = [b for b in panel._findings._row.children if "zork-2" in b.description]
    button.click()
    assert panel.config.output_name == "zork-2"
    start_and_wait(panel, engine)
    assert [config.file_stem for config in engine.configs] == ["zork", "zork-2"]


def test_a_free_name_is_taken_when_the_file_appears_in_between(panel, engine, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "zork.safetensors").touch()  # by another program, after the last look
    panel._start.click()
    until(lambda: "Not started" in panel._note.value)
    assert engine.runs == []
