"""What a run looks like in a terminal and in a log file."""

import io
import math

from events import started, step_done
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.events import (
    Failed,
    Finished,
    Notice,
    PhaseProgress,
    SampleReady,
    Saved,
    TimeEstimate,
)
from lora_widgets.terminal import ERASE_LINE, Pace, Printer, duration, rates_text

STARTED = started(10, steps_per_epoch=5)
STARTED_LINES = 3


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def shown(*events, stream=None, seconds_between=1.0):
    clock, stream = Clock(), stream or io.StringIO()
    printer = Printer(stream, clock=clock)
    for event in events:
        printer(event)
        clock.now += seconds_between
    return stream.getvalue()


def test_a_log_file_gets_the_first_and_last_step_and_one_in_five_seconds():
    lines = shown(STARTED, *(step_done(n) for n in range(1, 11))).splitlines()
    assert [line.split("step ")[1].split()[0] for line in lines if "] step" in line] == [
        "1/10",
        "6/10",
        "10/10",
    ]
    assert "\x1b" not in "".join(lines)


def test_a_terminal_gets_one_line_that_is_replaced():
    text = shown(STARTED, *(step_done(n) for n in range(1, 11)), stream=Terminal())
    assert text.count("\n") == STARTED_LINES
    assert text.count(ERASE_LINE + "[") == 10


def test_a_terminal_line_never_wraps(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = shown(STARTED, step_done(1), stream=Terminal())
    assert len(text.rsplit(ERASE_LINE, maxsplit=1)[1]) < 40


def test_a_step_says_how_far_how_well_and_how_long_still():
    line = shown(STARTED, step_done(4, loss=0.25, seconds=2.0)).splitlines()[-1]
    for part in ("step 4/10", "epoch 1/2", "loss 0.2500", "unet 2.00e-05", "2.00 s/step", "ETA 0:12"):
        assert part in line


def test_a_phase_is_counted_and_timed():
    events = [PhaseProgress("caching latents", done, 3) for done in range(4)]
    assert shown(*events).splitlines() == ["caching latents 0/3", "caching latents 3/3  (3.0 s)"]


def test_a_phase_says_how_long_still():
    events = [PhaseProgress("caching latents", done, 10) for done in range(3)]
    text = shown(*events, stream=Terminal())
    assert text.rsplit(ERASE_LINE, maxsplit=1)[1] == "caching latents 2/10  ETA 0:08"


def test_a_phase_with_nothing_to_do_is_not_shown():
    assert shown(PhaseProgress("drawing samples", 0, 0)) == ""


def test_a_notice_does_not_end_a_phase():
    first, last = PhaseProgress("caching latents", 0, 2), PhaseProgress("caching latents", 2, 2)
    text = shown(first, Notice("warning", "a.png is unreadable"), last)
    assert text.splitlines() == [
        "caching latents 0/2",
        "! a.png is unreadable",
        "caching latents 2/2  (2.0 s)",
    ]


def test_samples_of_a_step_are_one_line():
    samples = [SampleReady(5, 1, index, "a thing", 1, f"/out/sample/{index}.png", 0.5) for index in range(3)]
    text = shown(*samples, Saved("weights", 5, 1, "/out/thing.safetensors"))
    assert "samples at step 5: 3 pictures in 1.5 s, in /out/sample" in text
    assert text.index("samples") < text.index("saved at step 5: thing.safetensors")


def test_how_long_the_rest_takes_stays_in_sight():
    assert shown(STARTED, TimeEstimate(1600, 1.3, 2100.0)).endswith(
        "  1,600 more steps at 1.30 s take about 35:00\n"
    )


def test_the_end_names_the_files_and_the_loss():
    text = shown(STARTED, step_done(1, loss=0.8), Finished("done", 10, 10, 75.0, ("/out/thing.safetensors",)))
    assert "Done: 10 steps in 1:15; loss 0.8000 (smoothed)" in text
    assert "/out/thing.safetensors" in text


def test_a_stopped_run_says_how_to_go_on():
    text = shown(STARTED, Finished("stopped", 4, 10, 5.0, ("/out/thing.safetensors",)))
    assert "Stopped at step 4 of 10" in text
    assert 'set `resume` to "latest"' in text


def test_a_run_stopped_before_its_first_step_promises_nothing():
    text = shown(Finished("stopped", 0, 10, 5.0, ()))
    assert "nothing to save" in text
    assert "resume" not in text


def test_a_failed_run_names_the_state_to_resume_from():
    assert "/out/s-state" in shown(Failed("out of memory", "smaller batch", "/out/s-state"))
    assert shown(Failed("no pictures", "add some", None)) == ""


def test_a_stream_of_few_letters_is_no_reason_to_fail():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    Printer(stream)(Notice("info", "größer → kleiner"))
    assert raw.getvalue() == b"  gr??er ? kleiner\n"


@given(st.lists(st.floats(0, 10) | st.just(math.nan) | st.just(math.inf), min_size=1, max_size=200))
def test_smoothed_loss_stays_between_the_finite_losses(losses):
    pace = Pace()
    for number, loss in enumerate(losses, 1):
        pace.add(step_done(number, loss=loss))
    finite = [loss for loss in losses if math.isfinite(loss)]
    if finite:
        assert min(finite) - 1e-9 <= pace.loss <= max(finite) + 1e-9
    else:
        assert math.isnan(pace.loss)


@given(st.floats(0, 1e6))
def test_durations_read_back_to_their_seconds(seconds):
    parts = [int(part) for part in duration(seconds).split(":")]
    assert sum(part * 60**power for power, part in enumerate(reversed(parts))) == round(seconds)


def test_equal_rates_are_shown_once():
    assert rates_text({"unet": 1e-4, "text_encoder": 1e-4}) == "1.00e-04"
    assert rates_text({}) == ""
