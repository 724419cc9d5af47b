"""What a run measures of itself is known to the next run of its kind."""

import shutil
from pathlib import Path

import pytest
from own_cache import MEASURED

from lora_widgets.cli import main
from lora_widgets.config.memory_estimate import estimate_for
from lora_widgets.data.measured_runs import measured_runs
from lora_widgets.events import Notice
from lora_widgets.training import memory_peaks, plan
from lora_widgets.training.pace import MEASURED_STEPS
from lora_widgets.training.plan import make_plan
from lora_widgets.training.start import iter_training

pytestmark = pytest.mark.any_libraries
PEAK = 500 * 2**20
FREE = 400 * 2**20
ENOUGH = MEASURED_STEPS + 2


@pytest.fixture(autouse=True)
def each_phase_takes_as_much(monkeypatch):
    """Let the system say that every phase takes 500 MiB: a tiny model takes less than what lies around."""
    monkeypatch.setattr(memory_peaks, "_status", {"VmRSS": 0, "VmHWM": PEAK}.get)
    monkeypatch.setattr(memory_peaks, "_restart_peak_of_process", lambda: True)


def phases_of(run):
    return {phase.name: phase for phase in run.phases}


def test_the_next_run_and_check_know_it(make_config, tmp_path, capsys):
    config = make_config(max_train_steps=ENOUGH, sample_every_n_steps=ENOUGH, sample_prompts="a thing --s 2")
    list(iter_training(config))
    (run,) = measured_runs(None)
    assert set(phases_of(run)) == {"Encoding captions", "Encoding pictures", "Training", "Drawing samples"}
    again = make_plan(config.with_changes(output_dir=str(tmp_path / "again")))
    (formula,) = (
        phase for phase in estimate_for(config, again.facts, again.steps).phases if phase.name == "Training"
    )
    assert phases_of(run)["Training"].estimated == pytest.approx(formula.bytes)
    assert [phase.bytes for phase in again.memory.phases] == [pytest.approx(PEAK)] * 4
    assert main(["check", str(next(Path(config.output_dir).glob("*.toml")))]) == 0
    said = capsys.readouterr().out
    assert "Memory, as measured on an earlier run of this kind: encoding captions 524 MB, " in said
    assert "Time: about " in said
    kept = MEASURED.read_text(encoding="utf-8")
    assert all(word not in kept for word in ("/", "\\", "thing", "tiny"))


def test_the_first_update_alone_says_nothing_of_the_training(make_config):
    """And samples before it say nothing of those beside the optimizer's state."""
    config = make_config(
        max_train_steps=1, sample_every_n_steps=5, sample_at_first=True, sample_prompts="a thing --s 2"
    )
    list(iter_training(config))
    (run,) = measured_runs(None)
    assert set(phases_of(run)) == {"Encoding captions", "Encoding pictures"}


def test_pictures_that_were_cached_in_part_say_nothing_of_their_phase(make_config, tiny_dataset, tmp_path):
    changes = {"max_train_steps": 2, "cache_latents_to_disk": True, "cache_dir": str(tmp_path / "cache")}
    list(iter_training(make_config(**changes)))
    assert "Encoding pictures" in phases_of(*measured_runs(tmp_path / "cache"))
    (tmp_path / "cache" / MEASURED.name).unlink()
    for suffix in (".png", ".txt"):
        shutil.copy(tiny_dataset / "2_thing" / f"thing_0{suffix}", tiny_dataset / "2_thing" / f"new{suffix}")
    (tiny_dataset / "2_thing" / "new.png").write_bytes(
        (tiny_dataset / "2_thing" / "thing_1.png").read_bytes() + b"\0"
    )
    list(iter_training(make_config(**changes, output_dir=str(tmp_path / "second"))))
    (run,) = measured_runs(tmp_path / "cache")
    assert "Training" in phases_of(run)
    assert "Encoding pictures" not in phases_of(run)


def test_the_first_steps_warn_of_memory_that_may_run_out_unless_it_was_foreseen(
    make_config, tmp_path, monkeypatch
):
    monkeypatch.setattr(plan, "free_memory_bytes", lambda: FREE)
    said, kept = [], []
    for name in ("first", "second"):
        config = make_config(max_train_steps=ENOUGH, output_dir=str(tmp_path / name))
        said.append([event.message for event in iter_training(config) if isinstance(event, Notice)])
        kept += [run.phases for run in measured_runs(None)]
    sentence = "this training takes about 0.5 GB of memory for its largest batch, and 0.4 GB were free"
    assert [any(sentence in message for message in messages) for messages in said] == [True, False]
    assert any(" 0.5 GB of memory, as measured on an earlier run of this kind" in text for text in said[1])
    # What was measured stands beside the formula's sum, not beside the second run's corrected one.
    assert kept[0] == kept[1]
