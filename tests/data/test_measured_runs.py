"""What earlier runs took is in a file that nothing depends on: it may be damaged, foreign or not there."""

import json
import threading

import pytest

from lora_widgets.config.facts import MeasuredPhase, MeasuredRun
from lora_widgets.data import machine as machine_module
from lora_widgets.data import measured_runs as module
from lora_widgets.data.machine import machine_name
from lora_widgets.data.measured_runs import FILE, MOST_RUNS, keep_measured_run, measured_runs


def run_of(number=1, peak=3e9, seconds=1e-6):
    phases = (MeasuredPhase("Training", peak, 2.5e9, 1e9),)
    return MeasuredRun({"model_type": "SD1.5", "denoiser": number, "on_gpu": False}, seconds, phases)


def test_a_run_is_known_to_the_next_program(tmp_path):
    keep_measured_run(str(tmp_path / "cache"), run_of())
    assert measured_runs(str(tmp_path / "cache")) == (run_of(),)


def test_the_newest_of_a_kind_counts(tmp_path):
    for peak in (3e9, 4e9):
        keep_measured_run(tmp_path, run_of(peak=peak))
    assert measured_runs(tmp_path) == (run_of(peak=4e9),)
    keep_measured_run(tmp_path, MeasuredRun(run_of().kind, None, ()))
    assert measured_runs(tmp_path) == (run_of(peak=4e9),)


def test_the_oldest_are_dropped(tmp_path):
    for number in range(MOST_RUNS + 2):
        keep_measured_run(tmp_path, run_of(number))
    kept = [run.kind["denoiser"] for run in measured_runs(tmp_path)]
    assert kept == list(range(2, MOST_RUNS + 2))
    assert (tmp_path / FILE).stat().st_size < module._MOST_BYTES / 4


def test_another_machine_is_told_nothing(tmp_path, monkeypatch):
    keep_measured_run(tmp_path, run_of())
    monkeypatch.setattr(module, "machine_name", lambda: "NVIDIA H200")
    assert measured_runs(tmp_path) == ()
    keep_measured_run(tmp_path, run_of(peak=9e9))
    assert measured_runs(tmp_path) == (run_of(peak=9e9),)
    monkeypatch.undo()
    assert measured_runs(tmp_path) == (run_of(),)


def entries_of(**changes):
    phase = {"name": "Training", "peak": 3e9, "estimated": 2.5e9, "growing": 1e9} | changes
    run = {"kind": {}, "seconds_per_pixel": None, "phases": [phase]}
    return json.dumps({"version": 1, "entries": [{"machine": machine_name(), "run": run}]}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"version": 1, "entr',
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        entries_of().replace(b'"version": 1', b'"version": 2'),
        entries_of(peak=-1),
        entries_of(growing=float("nan")),
        entries_of(estimated="much"),
        b" " * 2**20 + entries_of(),
    ],
    ids=lambda content: content[:20].decode("latin-1"),
)
def test_what_is_damaged_or_foreign_is_ignored_and_replaced(tmp_path, content):
    (tmp_path / FILE).write_bytes(entries_of())
    assert len(measured_runs(tmp_path)) == 1  # the tests' own entry is sound
    (tmp_path / FILE).write_bytes(content)
    assert measured_runs(tmp_path) == ()
    keep_measured_run(tmp_path, run_of())
    assert measured_runs(tmp_path) == (run_of(),)


def test_a_place_that_cannot_be_written_is_passed_over(tmp_path):
    (tmp_path / "file").write_text("no folder")
    for place in (tmp_path / "file", tmp_path / "file" / "below", "x" * 5000, "\0", "~no-such-user-here/x"):
        keep_measured_run(place, run_of())
        assert measured_runs(place) == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_who_reads_never_sees_half_a_file(tmp_path):
    keep_measured_run(tmp_path, run_of(0))

    def write(number):
        for _ in range(5):
            keep_measured_run(tmp_path, run_of(number))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert measured_runs(tmp_path)
    for writer in writers:
        writer.join()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_the_processor_and_its_cores_name_a_machine_without_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(machine_module, "ask_gpu", lambda question: "")
    monkeypatch.setattr(machine_module, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine_module.os, "cpu_count", lambda: 8)
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 2.20GHz\n")
    assert machine_name.__wrapped__() == "Some CPU @ 2.20GHz, 8 cores"
    (tmp_path / "cpuinfo").unlink()
    assert machine_name.__wrapped__().endswith(", 8 cores")
    monkeypatch.setattr(machine_module, "ask_gpu", lambda question: f"NVIDIA {question}")
    assert machine_name.__wrapped__() == "NVIDIA name"
