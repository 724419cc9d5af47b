"""What a run will take, by formula and by what an earlier run of its kind took on this machine. Pure.

The formula of `memory_estimate` is wrong in two ways, which one measurement cannot tell apart. What libraries
and allocators keep for themselves is the same in every run: workspaces, libraries read on first use, rounding
up to blocks. And what is counted for each latent position or trained number is off by a factor: another way
through attention, the optimizer's temporary copies. So a difference as small as libraries make it is added to
any run of the kind; one beyond that scales what grows with batch, pictures and ranks, as far as the formula
can be wrong, and what is left even then is added again. Frozen weights are known to the byte, so they are
never scaled, and no run takes less. A repetition of the measured run is told exactly as it was measured.

Time is proportional to the pixels of a step. Nothing of it is guessed from names of devices: without a run of
the kind nothing is said.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import copysign

from lora_widgets.config.facts import DatasetFacts, Facts, MeasuredPhase, MeasuredRun, RunKind
from lora_widgets.config.memory_estimate import (
    MemoryEstimate,
    PhaseMemory,
    computes_on_gpu,
    estimate_for,
    grows,
)
from lora_widgets.config.phases import TRAINING
from lora_widgets.config.steps import StepPlan
from lora_widgets.config.training_config import TrainingConfig

_DECIDING = (
    "model_type",
    "lora_type",
    "optimizer_type",
    "mixed_precision",
    "full_fp16",
    "full_bf16",
    "base_weights",
    "gradient_checkpointing",
    "cpu_offload_checkpointing",
    "blocks_to_swap",
    "torch_compile",
    "no_half_vae",
    "vae_tiling",
    "latents_are_cached",
    "text_is_cached",
)
"""The settings that decide. Batch, pictures and ranks do not: formula and pixels count with them."""

SAME_IN_EVERY_RUN = 0.2e9
"""A difference up to so many bytes is that of libraries and allocators, which does not grow with a run.

On a processor, with Stable Diffusion 1.5 in bf16, it was between -0.04 and 0.18 GB in every phase, and moved
by less than 0.05 GB while the pictures became four times as large.
"""
LEAST_FACTOR, MOST_FACTOR = 0.5, 2.0
"""The formula's counts are not more wrong than that; a larger difference has another cause."""
_BEYOND = "what else was measured"


@dataclass(frozen=True)
class Took:
    """What was measured of a run so far.

    ``seconds_per_step`` is None before enough steps are measured. ``peaks`` are bytes by phase.
    ``largest_batch`` is the number of pictures and their size of the largest batch that was trained on: the
    peak of the training is one of that batch, while larger ones may be to come.
    """

    seconds_per_step: float | None
    peaks: Mapping[str, float]
    largest_batch: tuple[int, tuple[int, int]]


def expected_memory(config: TrainingConfig, facts: Facts, steps: StepPlan | None) -> MemoryEstimate | None:
    """Estimate a run, each phase as measured on an earlier run of its kind; None as for `estimate_for`."""
    estimate, run = estimate_for(config, facts, steps), _run_of_kind(config, facts)
    if estimate is None or run is None:
        return estimate
    measured = {phase.name: phase for phase in run.phases}
    phases = (
        as_measured(phase, measured[phase.name]) if phase.name in measured else phase
        for phase in estimate.phases
    )
    return replace(estimate, phases=tuple(phases))


def expected_seconds(config: TrainingConfig, facts: Facts, steps: StepPlan) -> float | None:
    """Return how long the steps of a run will take, without samples; None where none was measured."""
    run = _run_of_kind(config, facts)
    if run is None or run.seconds_per_pixel is None or facts.dataset is None:
        return None
    if not facts.dataset.bucket_sizes:
        return None
    return run.seconds_per_pixel * _pixels_per_step(facts.dataset, steps) * steps.total_steps


def measured_run(config: TrainingConfig, facts: Facts, steps: StepPlan, took: Took) -> MeasuredRun | None:
    """Put what a run took beside what the formula says of it; None where the size of its model is unknown.

    A phase that seems to take less than its weights is left out: on a processor its work found room in what
    the program held before.
    """
    kind, dataset = _kind_of(config, facts), facts.dataset
    if kind is None or dataset is None or not dataset.bucket_sizes:
        return None
    count, size = took.largest_batch
    shown = replace(dataset, bucket_counts=(count,), bucket_sizes=(size,), batch_sizes=(count,))
    estimates = _phases(config, facts, steps) | {
        TRAINING: _phases(config, replace(facts, dataset=shown), steps)[TRAINING]
    }
    phases = (
        MeasuredPhase(name, peak, estimates[name].bytes, estimates[name].growing)
        for name, peak in took.peaks.items()
        if name in estimates and peak >= estimates[name].weights
    )
    seconds = took.seconds_per_step
    pace = None if seconds is None else seconds / _pixels_per_step(dataset, steps)
    return MeasuredRun(kind, pace, tuple(phases))


def as_measured(phase: PhaseMemory, measured: MeasuredPhase) -> PhaseMemory:
    """Correct a phase by what it took in an earlier run of its kind."""
    factor = _factor(measured)
    shares = tuple((name, share * (factor if grows(name) else 1.0)) for name, share in phase.shares)
    scaled = PhaseMemory(phase.name, shares, is_measured=True)
    beyond = measured.peak - measured.estimated - (factor - 1) * measured.growing
    return replace(scaled, shares=(*shares, (_BEYOND, max(beyond, phase.weights - scaled.bytes))))


def newer(run: MeasuredRun, older: MeasuredRun) -> MeasuredRun:
    """Return what is known after ``run``: where it measured nothing, what an older one of its kind took."""
    phases = {phase.name: phase for phase in (*older.phases, *run.phases)}
    pace = older.seconds_per_pixel if run.seconds_per_pixel is None else run.seconds_per_pixel
    return MeasuredRun(run.kind, pace, tuple(phases.values()))


def _factor(measured: MeasuredPhase) -> float:
    difference = measured.peak - measured.estimated
    if measured.growing <= 0:
        return 1.0
    grown = copysign(max(0.0, abs(difference) - SAME_IN_EVERY_RUN), difference)
    return min(max(1 + grown / measured.growing, LEAST_FACTOR), MOST_FACTOR)


def _run_of_kind(config: TrainingConfig, facts: Facts) -> MeasuredRun | None:
    kind = _kind_of(config, facts) if facts.measured else None
    return next((run for run in facts.measured if run.kind == kind), None)


def _kind_of(config: TrainingConfig, facts: Facts) -> RunKind | None:
    model = facts.base_model
    if model is None:
        return None
    return {
        "on_gpu": computes_on_gpu(facts),
        "denoiser": model.denoiser.numbers,
        "text_encoder": model.text_encoder.numbers,
        "vae": model.vae.numbers,
        "trained": " ".join(config.trained_components),
        **{name: getattr(config, name) for name in _DECIDING},
    }


def _phases(config: TrainingConfig, facts: Facts, steps: StepPlan) -> dict[str, PhaseMemory]:
    estimate = estimate_for(config, facts, steps)
    return {phase.name: phase for phase in estimate.phases} if estimate else {}


def _pixels_per_step(dataset: DatasetFacts, steps: StepPlan) -> float:
    """Return the pixels of all pictures that a step shows, in the mean of an epoch."""
    sizes = zip(dataset.bucket_counts, dataset.bucket_sizes, strict=True)
    return sum(count * width * height for count, (width, height) in sizes) / steps.steps_per_epoch
