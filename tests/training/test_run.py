"""A run in the background: stop, pause, errors, listeners."""

import json
import threading
import time

import pytest
from until import until

from lora_widgets.errors import ConfigError, DatasetError
from lora_widgets.events import Failed, Finished, Notice, StepDone
from lora_widgets.launch import start
from lora_widgets.training import run as run_module
from lora_widgets.training.run import Run

pytestmark = pytest.mark.any_libraries
LONG = 100_000


def test_a_run_remembers_its_steps_samples_and_files(make_config):
    config = make_config(sample_every_n_steps=4, sample_prompts="a thing --s 1")
    run = Run(config).start().wait()
    assert [e.step for e in run.history] == [1, 2, 3, 4]
    assert [s.step for s in run.samples] == [0, 4]
    assert [p.name for p in run.files] == ["tiny.safetensors"]
    assert run.state is not None
    assert run.state.name == "tiny-state"
    assert not run.alive
    assert isinstance(run.outcome, Finished)


def test_stop_ends_after_the_step_in_progress_with_a_state(make_config):
    run = Run(make_config(max_train_steps=LONG)).start()
    until(lambda: run.history)
    run.stop()
    run.wait()
    assert run.outcome.reason == "stopped"
    assert run.outcome.step == run.history[-1].step
    assert (run.state / "state.json").exists()


def test_stop_while_samples_are_drawn_does_not_wait_for_them(make_config):
    config = make_config(sample_every_n_steps=1, sample_prompts="a thing --s 1000", max_train_steps=LONG)
    run = Run(config)
    run.subscribe(lambda event: run.stop() if getattr(event, "phase", "") == "Drawing samples" else None)
    began = time.monotonic()
    run.start().wait()
    assert run.outcome.reason == "stopped"
    assert not run.samples
    assert time.monotonic() - began < 60


def test_stop_while_loading_leaves_no_files(make_config, tmp_path):
    run = Run(make_config(max_train_steps=LONG))
    run.stop()
    run.start().wait()
    assert run.outcome.reason == "stopped"
    assert not list(tmp_path.glob("out/*.safetensors"))


def test_pause_holds_and_unpause_goes_on(make_config):
    run = Run(make_config(max_train_steps=LONG)).start()
    until(lambda: run.history)
    run.pause()
    held = len(run.history)
    time.sleep(1.0)
    assert len(run.history) <= held + 1  # the step in progress is finished
    run.unpause()
    until(lambda: len(run.history) > held + 2)
    run.stop()
    run.wait()


def test_an_error_is_kept_for_wait_and_told_with_its_remedy(make_config, tmp_path):
    heard = []
    run = Run(make_config(train_data_dir=str(tmp_path / "nowhere")), [heard.append]).start()
    with pytest.raises(DatasetError, match="train_data_dir"):
        run.wait()
    assert isinstance(heard[-1], Failed)
    assert "nowhere" in heard[-1].error


def test_a_listener_that_fails_does_not_end_the_training(make_config, caplog):
    def bad(event):
        raise RuntimeError("no display")

    run = Run(make_config(max_train_steps=2), [bad]).start().wait()
    assert len(run.history) == 2
    assert "A listener failed" in caplog.text


def test_a_second_run_of_the_same_name_is_refused_with_a_free_name(make_config):
    config = make_config(max_train_steps=1)
    Run(config).start().wait()
    with pytest.raises(ConfigError, match=r"Set `output_name` to 'tiny-2'"):
        Run(config).start().wait()
    Run(config.with_changes(output_name="tiny-2")).start().wait()


def test_an_output_folder_that_cannot_be_made_is_named(make_config, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"`output_dir` is .*file/out"):
        Run(make_config(output_dir=str(tmp_path / "file" / "out"))).start().wait()


def test_an_interrupt_while_waiting_stops_the_run_tidily(make_config, monkeypatch):
    run = Run(make_config(max_train_steps=LONG)).start()
    until(lambda: run.history)
    wait, pressed = run.done.wait, []

    def press_once(timeout):
        if not pressed:
            pressed.append(True)
            raise KeyboardInterrupt
        return wait(timeout)

    monkeypatch.setattr(run.done, "wait", press_once)
    run.wait()
    assert run.outcome.reason == "stopped"


def test_the_journal_holds_every_step(make_config, tmp_path):
    run = start(make_config(max_train_steps=3)).wait()
    lines = (tmp_path / "out" / "tiny.events.jsonl").read_text("utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    assert [e["step"] for e in events if e["event"] == "StepDone"] == [1, 2, 3]
    assert events[0]["event"] == "Started"
    assert events[-1]["event"] == "Finished"
    assert len(run.history) == 3


def test_the_training_thread_has_a_name_and_is_a_daemon(make_config):
    run = Run(make_config(max_train_steps=LONG)).start()
    thread = next(t for t in threading.enumerate() if t.name == "lora-widgets-run")
    assert thread.daemon
    run.stop()
    run.wait()


def test_warnings_of_the_check_are_told_before_training(make_config):
    heard = []
    Run(make_config(max_train_steps=1, network_alpha=64), [heard.append]).start().wait()
    first_step = next(i for i, e in enumerate(heard) if isinstance(e, StepDone))
    notices = [e.message for e in heard[:first_step] if isinstance(e, Notice)]
    assert any("alpha" in message for message in notices)


def test_a_mistake_of_the_program_is_told_as_such(make_config, monkeypatch):
    def broken(config, control):
        raise ZeroDivisionError("oops")
        yield

    monkeypatch.setattr(run_module, "iter_training", broken)
    heard = []
    run = Run(make_config(), [heard.append]).start()
    with pytest.raises(ZeroDivisionError):
        run.wait()
    assert "ZeroDivisionError: oops" in heard[-1].error
    assert "mistake in the program" in heard[-1].remedy
