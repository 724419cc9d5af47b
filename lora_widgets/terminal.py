"""Show a run in a terminal: one updating line where the stream is one, sparse readable lines elsewhere.

A listener like any other: it reads events and never touches the run. What must stay visible (samples, saved
files, notices) is written as a line of its own above the progress line.
"""

import math
import shutil
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from lora_widgets.events import (
    Event,
    Failed,
    Finished,
    Notice,
    PhaseProgress,
    SampleReady,
    Saved,
    Started,
    StepDone,
    TimeEstimate,
)

REDRAW_S = 0.1  # faster than this a person sees no difference
LINE_EVERY_S = 5.0  # sparse enough for a log file, often enough to see life
SMOOTHING = 0.95  # weight of the past in the smoothed loss
RECENT_STEPS = 30  # the pace is the median of these, so that a pause for samples does not move it
BAR_WIDTH = 16
ERASE_LINE = "\r\x1b[K"


class Printer:
    """Write the events of one run to ``stream``, readable for a person and for a log file.

    Args:
        stream: where to write; asked once whether it is a terminal.
        clock: seconds from any origin, monotonic.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._screen = _Screen(stream, clock)
        self._clock = clock
        self._pace = Pace()
        self._phase: _Phase | None = None
        self._samples: list[SampleReady] = []
        self._started: Started | None = None

    def __call__(self, event: Event) -> None:
        """Show one event; kinds this class does not know are passed over."""
        if not isinstance(event, PhaseProgress | SampleReady | Notice):
            self._end_phase()
            self._show_samples()
        match event:
            case PhaseProgress():
                self._show_phase(event)
            case SampleReady():
                self._collect_sample(event)
            case StepDone():
                self._show_step(event)
            case Finished():
                self._screen.line(finished_text(event, self._pace))
            case Failed(last_state=None) | Saved(kind="state"):
                pass  # the error is raised to the caller; a state accompanies all weights, the end names it
            case _ if type(event) in LASTING:
                self._started = event if isinstance(event, Started) else self._started
                self._screen.line(LASTING[type(event)](event))
            case _:
                pass

    def _show_phase(self, event: PhaseProgress) -> None:
        if event.total == 0:
            return  # a phase with nothing to do is no news
        if self._phase is None or self._phase.name != event.phase:
            self._end_phase()
            self._phase = _Phase(event.phase, event.done, event.total, self._clock(), first=event.done)
            begins = True
        else:
            self._phase.done, self._phase.total = event.done, event.total
            begins = False
        if event.done >= event.total:
            self._end_phase()
        else:
            self._screen.progress(self._phase.text() + self._phase.eta(self._clock()), important=begins)

    def _end_phase(self) -> None:
        if self._phase is not None:
            seconds = self._clock() - self._phase.since
            took = f"  ({seconds:.1f} s)" if seconds >= 0.05 else ""
            self._screen.line(self._phase.text() + took)
            self._phase = None

    def _show_step(self, event: StepDone) -> None:
        self._pace.add(event)
        total = self._started.total_steps if self._started else event.step
        epochs = self._started.epochs if self._started else event.epoch
        at_an_end = self._pace.num_steps == 1 or event.step == total
        self._screen.progress(step_text(event, self._pace, total=total, epochs=epochs), important=at_an_end)

    def _collect_sample(self, event: SampleReady) -> None:
        if self._samples and self._samples[0].step != event.step:
            self._show_samples()
        self._samples.append(event)

    def _show_samples(self) -> None:
        if self._samples:
            first, count = self._samples[0], len(self._samples)
            pictures = "1 picture" if count == 1 else f"{count} pictures"
            seconds = sum(sample.seconds for sample in self._samples)
            where = Path(first.path).parent
            self._screen.line(f"  samples at step {first.step}: {pictures} in {seconds:.1f} s, in {where}")
            self._samples = []


class Pace:
    """What the steps so far say about the loss and the time per step."""

    def __init__(self) -> None:
        self.num_steps = 0
        self.loss = math.nan
        self._recent: deque[float] = deque(maxlen=RECENT_STEPS)

    def add(self, event: StepDone) -> None:
        """Take one step into account; a loss that is not finite moves nothing."""
        self.num_steps += 1
        self._recent.append(event.seconds)
        if not math.isfinite(event.loss):
            return
        if math.isnan(self.loss):
            self.loss = event.loss
        # A mean at first, so that one unlucky first step does not colour the next hundred.
        weight = min(SMOOTHING, 1 - 1 / self.num_steps)
        self.loss = weight * self.loss + (1 - weight) * event.loss

    @property
    def seconds_per_step(self) -> float:
        """Median of the recent steps; 0 before the first."""
        return statistics.median(self._recent) if self._recent else 0.0


def started_text(event: Started) -> str:
    """Say what is trained, where to, and for how long."""
    parts = ", ".join(
        f"{component} {event.modules[component]} modules / {event.parameters.get(component, 0):,} parameters"
        for component in event.modules
    )
    resumed = f", going on from step {event.start_step}" if event.start_step else ""
    return (
        f"Training {event.run_name} on {event.device}: {event.total_steps} steps "
        f"({event.epochs} epochs of {event.steps_per_epoch}){resumed}\n"
        f"  adapter: {parts}\n  folder: {event.folder}"
    )


def step_text(event: StepDone, pace: Pace, *, total: int, epochs: int) -> str:
    """One line that says how far, how well and how long still."""
    filled = BAR_WIDTH * event.step // max(total, 1)
    bar = "#" * filled + "." * (BAR_WIDTH - filled)
    remaining = duration(max(total - event.step, 0) * pace.seconds_per_step)
    # The rates come last: they are the first to go where a terminal is narrow.
    return (
        f"[{bar}] step {event.step}/{total}  epoch {event.epoch}/{epochs}  loss {pace.loss:.4f}  "
        f"{pace.seconds_per_step:.2f} s/step  ETA {remaining}  lr {rates_text(event.learning_rates)}"
    )


def rates_text(rates: dict[str, float]) -> str:
    """The learning rate; by component where they differ."""
    if len(set(rates.values())) <= 1:
        return "".join(f"{rate:.2e}" for rate in list(rates.values())[:1])
    return " ".join(f"{component} {rate:.2e}" for component, rate in rates.items())


def saved_text(event: Saved) -> str:
    """Name the file that is complete now."""
    return f"  saved at step {event.step}: {Path(event.path).name}"


def notice_text(event: Notice) -> str:
    """Mark what is a warning."""
    return ("! " if event.level == "warning" else "  ") + event.message


def finished_text(event: Finished, pace: Pace) -> str:
    """Say how the run ended, what the loss did, and which files are there."""
    loss = "" if math.isnan(pace.loss) else f"; loss {pace.loss:.4f} (smoothed)"
    if event.reason == "done":
        head = f"Done: {event.step} steps in {duration(event.seconds)}{loss}"
        return "\n".join([head, *(f"  {path}" for path in event.files)])
    if not event.files:
        return "Stopped before the first step; there was nothing to save."
    head = f"Stopped at step {event.step} of {event.total_steps}, everything is saved{loss}"
    hint = '  To go on later, set `resume` to "latest" and start again.'
    return "\n".join([head, *(f"  {path}" for path in event.files), hint])


def time_text(event: TimeEstimate) -> str:
    """Say how long the rest of the run takes."""
    return (
        f"  {event.steps:,} more steps at {event.seconds_per_step:.2f} s take about "
        f"{duration(event.seconds_left)}"
    )


def failed_text(event: Failed) -> str:
    """Say what can be resumed; the error itself is raised to the caller."""
    return f"The run failed. To go on from the last saved state, set `resume` to {event.last_state}"


def duration(seconds: float) -> str:
    """Write seconds as m:ss or h:mm:ss."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


LASTING: dict[type[Event], Callable[..., str]] = {
    Started: started_text,
    Saved: saved_text,
    Notice: notice_text,
    Failed: failed_text,
    TimeEstimate: time_text,
}
"""Events that are one lasting line and nothing more."""


@dataclass
class _Phase:
    name: str
    done: int
    total: int
    since: float
    first: int

    def text(self) -> str:
        return f"{self.name} {self.done}/{self.total}" if self.total > 1 else self.name

    def eta(self, now: float) -> str:
        """Say how long the rest takes at the pace so far; nothing before there is one."""
        if self.done == self.first:
            return ""
        left = (now - self.since) * (self.total - self.done) / (self.done - self.first)
        return f"  ETA {duration(left)}"


class _Screen:
    """One progress line that is replaced (terminal) or thinned out (anything else), and lasting lines."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._replaces = stream.isatty()
        self._shown_at = -math.inf

    def line(self, text: str) -> None:
        """Write text that stays; on a terminal the progress line reappears below it with the next event."""
        self._write((ERASE_LINE if self._replaces else "") + text + "\n")

    def progress(self, text: str, *, important: bool) -> None:
        """Show where the work is; what is not important is shown only now and then."""
        now = self._clock()
        if not important and now - self._shown_at < (REDRAW_S if self._replaces else LINE_EVERY_S):
            return
        self._shown_at = now
        if self._replaces:
            self._write(ERASE_LINE + text[: shutil.get_terminal_size().columns - 1])
        else:
            self._write(text + "\n")

    def _write(self, text: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._stream.write(text.encode(encoding, "replace").decode(encoding))
        self._stream.flush()
