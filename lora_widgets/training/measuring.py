"""What a run measured of itself is kept for the next of its kind, and compared with the machine's memory."""

from collections.abc import Iterator
from dataclasses import replace

from lora_widgets.config.expectation import Took, expected_memory, measured_run
from lora_widgets.config.facts import MeasuredRun
from lora_widgets.config.memory_estimate import MemoryEstimate, room_for
from lora_widgets.config.phases import TRAINING
from lora_widgets.data.measured_runs import keep_measured_run
from lora_widgets.events import Notice
from lora_widgets.training.out_of_memory import ways_out
from lora_widgets.training.prepare import Job

_WHOLE_STEPS = 2
"""The first update makes the optimizer's state, so only the second holds all that a step does."""


def keep_what_was_measured(job: Job) -> MeasuredRun | None:
    """Keep what the run took so far; None where nothing can be said of its kind."""
    plan, peaks = job.plan, job.peaks.peaks
    if job.step - job.first_step < _WHOLE_STEPS:
        peaks.pop(TRAINING, None)
    took = Took(job.pace.seconds_per_step, peaks, job.largest_batch)
    run = measured_run(plan.config, plan.facts, plan.steps, took)
    if run is not None and (run.phases or run.seconds_per_pixel):
        keep_measured_run(plan.config.cache_dir, run)
    return run


def memory_may_run_out(job: Job, run: MeasuredRun | None) -> Iterator[Notice]:
    """Warn after the first steps if the largest batch takes more than was free, unless that was foreseen."""
    plan, (free, place) = job.plan, room_for(job.plan.facts)
    if run is None or free is None or _training(plan.memory) > free:
        return
    after = expected_memory(plan.config, replace(plan.facts, measured=(run,)), plan.steps)
    if _training(after) <= free:
        return
    way = ways_out(plan.config, device=job.precision.device, loops=True)[0]
    yield Notice(
        "warning",
        f"As measured in its first steps, this training takes about {_training(after) / 1e9:.1f} GB of "
        f"{place} for its largest batch, and {free / 1e9:.1f} GB were free before it began: memory may run "
        f"out. If it does, {way}.",
    )


def _training(estimate: MemoryEstimate | None) -> float:
    phases = estimate.phases if estimate else ()
    return sum(phase.bytes for phase in phases if phase.name == TRAINING)
