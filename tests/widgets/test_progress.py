"""Tests of lora_widgets/widgets/progress.py."""

import pytest
from events import started, step_done

from lora_widgets.events import Finished, PhaseProgress
from lora_widgets.widgets.progress import Progress


def progress_of(*events):
    progress = Progress()
    for event in events:
        progress.take(event)
    return progress


def test_nothing_is_known_at_first():
    progress = Progress()
    assert progress.step == 0
    assert progress.pace() is None
    assert progress.seconds_left() is None


def test_time_left_is_remaining_steps_at_the_recent_pace():
    progress = progress_of(started(100), *(step_done(i, seconds=2.0) for i in range(1, 41)))
    assert progress.seconds_left() == pytest.approx(120)


def test_the_slow_first_step_does_not_count():
    progress = progress_of(
        started(10), step_done(1, seconds=60.0), step_done(2, seconds=1.0), step_done(3, seconds=1.0)
    )
    assert progress.seconds_left() == pytest.approx(7)


def test_a_pause_for_samples_does_not_change_the_speed():
    steps = [step_done(i, seconds=30.0 if i == 10 else 0.5) for i in range(1, 21)]
    pace = progress_of(started(100), *steps).pace()
    assert pace.seconds_per_step == 0.5
    assert pace.pictures_per_second == 16


def test_steps_that_took_no_time_have_no_speed():
    assert progress_of(started(5), step_done(1, seconds=0.0)).pace() is None


def test_a_resumed_run_begins_where_it_was():
    assert progress_of(started(100, start_step=60)).step == 60


def test_a_phase_is_over_with_the_next_step():
    assert progress_of(PhaseProgress("drawing samples", 1, 2), step_done(1)).phase is None


def test_no_time_is_left_at_the_end():
    assert progress_of(started(5), step_done(1), Finished("done", 5, 5, 1.0, ())).seconds_left() is None


def test_a_phase_ends_at_its_pace_so_far():
    now = [100.0]
    progress = Progress(lambda: now[0])
    progress.take(PhaseProgress("looking", 0, 8))
    now[0] += 50
    progress.take(PhaseProgress("encoding", 2, 10))  # some were done before
    assert progress.phase_seconds_left() is None
    now[0] += 6
    progress.take(PhaseProgress("encoding", 5, 10))
    assert progress.phase_seconds_left() == pytest.approx(10)
    progress.take(PhaseProgress("encoding", 10, 10))
    assert progress.phase_seconds_left() == 0
