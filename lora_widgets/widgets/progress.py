"""What the events so far say about where a run is, how fast it goes and how long it will take."""

import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from lora_widgets.events import Event, Failed, Finished, PhaseProgress, Started, StepDone

RECENT_STEPS = 100


@dataclass(frozen=True)
class Pace:
    """Seconds for one step, pictures for one second."""

    seconds_per_step: float
    pictures_per_second: float


class Progress:
    """Collects events; its attributes are the newest facts, None or empty while unknown.

    Args:
        clock: seconds from any origin, monotonic; phases are timed by it, since their events tell no time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._phase_began: tuple[float, int] = (0.0, 0)
        self.started: Started | None = None
        self.newest: StepDone | None = None
        self.phase: PhaseProgress | None = None
        self.ending: Finished | Failed | None = None
        self._recent: deque[StepDone] = deque(maxlen=RECENT_STEPS)
        self._num_steps = 0

    def take(self, event: Event) -> None:
        """Remember what ``event`` says."""
        match event:
            case Started():
                self.started, self.phase = event, None
            case StepDone():
                self.newest, self.phase = event, None
                self._num_steps += 1
                if self._num_steps == 2:
                    self._recent.clear()  # the first step also warms up; it says nothing about the next
                self._recent.append(event)
            case PhaseProgress():
                if self.phase is None or self.phase.phase != event.phase:
                    self._phase_began = self._clock(), event.done
                self.phase = event
            case Finished() | Failed():
                self.ending, self.phase = event, None

    @property
    def step(self) -> int:
        """Steps done, including those before a resume."""
        if self.newest is not None:
            return self.newest.step
        return self.started.start_step if self.started else 0

    def pace(self) -> Pace | None:
        """Return the typical speed of recent steps: the median, which a pause for samples does not move."""
        seconds = statistics.median(event.seconds for event in self._recent) if self._recent else 0.0
        if seconds <= 0:
            return None
        pictures = statistics.median(event.images for event in self._recent)
        return Pace(seconds, pictures / seconds)

    def phase_seconds_left(self) -> float | None:
        """Return the time to the end of the phase at its average pace so far; None before there is one."""
        since, first = self._phase_began
        if self.phase is None or self.phase.done <= first:
            return None
        rest = max(0, self.phase.total - self.phase.done)
        return (self._clock() - since) * rest / (self.phase.done - first)

    def seconds_left(self) -> float | None:
        """Return the time to the last step at the recent average, which includes pauses for samples."""
        if self.started is None or not self._recent or self.ending is not None:
            return None
        average = statistics.fmean(event.seconds for event in self._recent)
        return max(0, self.started.total_steps - self.step) * average
