"""How long the rest of a run takes, told once, when its first steps are measured."""

import statistics
from collections.abc import Iterator

from lora_widgets.config.cadence import Every
from lora_widgets.config.steps import StepPlan
from lora_widgets.events import TimeEstimate

MEASURED_STEPS = 5
"""So many steps are measured after the first, in which libraries and memory warm up."""


class PaceMeter:
    """Takes the seconds of steps and of rounds of samples, and says once how long the rest takes."""

    def __init__(self) -> None:
        self._steps: list[float] = []
        self._round: float | None = None
        self._is_first, self._told = True, False

    @property
    def seconds_per_step(self) -> float | None:
        """The median of the measured steps; None before there are enough of them."""
        return statistics.median(self._steps) if len(self._steps) == MEASURED_STEPS else None

    def take_step(self, seconds: float) -> None:
        """Take the seconds of an update into account, without samples and saves around it."""
        if not self._is_first and len(self._steps) < MEASURED_STEPS:
            self._steps.append(seconds)
        self._is_first = False

    def take_round(self, seconds: float) -> None:
        """Take the seconds into account in which all samples were drawn once."""
        self._round = seconds

    def news(self, step: int, plan: StepPlan, sample_every: Every) -> Iterator[TimeEstimate]:
        """Yield the estimate after ``step`` updates, when enough are measured, the first time it is asked."""
        pace = self.seconds_per_step
        if self._told or pace is None or step >= plan.total_steps:
            return
        self._told = True
        rounds = [
            later
            for later in range(step + 1, plan.total_steps + 1)
            if sample_every.due(later, steps_per_epoch=plan.steps_per_epoch)
        ]
        left = (plan.total_steps - step) * pace + len(rounds) * (self._round or 0.0)
        yield TimeEstimate(plan.total_steps - step, pace, left)
