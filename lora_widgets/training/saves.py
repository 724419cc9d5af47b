"""Saving in the middle and at the end: weights, the state beside them, and what is kept."""

import time
from collections.abc import Iterator
from pathlib import Path

from lora_widgets.events import Event, Saved
from lora_widgets.training.export import write_weights
from lora_widgets.training.folder import expired, without
from lora_widgets.training.metadata import describe
from lora_widgets.training.optimizers import averaged
from lora_widgets.training.precision import save_dtype
from lora_widgets.training.prepare import Job
from lora_widgets.training.state import Progress, delete_folder, write_state


def save_if_due(job: Job) -> Iterator[Event]:
    """Save where the cadence says so after ``job.step`` steps; the last epoch is left to `save_end`."""
    every, folder, steps = job.plan.config.save_every, job.plan.folder, job.plan.steps
    if not every.due(job.step, steps_per_epoch=steps.steps_per_epoch):
        return
    if every.steps and job.step % every.steps == 0:
        yield from _save(job, folder.at_step(job.step))
    if every.ends_epoch(job.step, steps_per_epoch=steps.steps_per_epoch) and job.step < steps.total_steps:
        path = folder.at_epoch(job.step // steps.steps_per_epoch)
        job.weights = (*job.weights, path.name)
        yield from _save(job, path)


def save_end(job: Job) -> Iterator[Event]:
    """Save final weights and state, however the run ends; before the first step there is nothing to save."""
    if job.step == 0:
        return
    yield from _save(job, job.plan.folder.final(), finished_at=time.time())


def _save(job: Job, path: Path, *, finished_at: float | None = None) -> Iterator[Event]:
    config, epoch = job.plan.config, job.epoch_of(max(0, job.step - 1))
    metadata = describe(job.facts, step=job.step, epoch=epoch, finished_at=finished_at)
    with averaged(job.optimizer):
        write_weights(path, job.adapter.tensors(), metadata, dtype=save_dtype(config.save_precision))
    yield Saved("weights", job.step, epoch, str(path))
    state = job.plan.folder.state_beside(path)
    older = without(job.states, [state.name])
    job.states = (*older, state.name)
    _forget_old_weights(job)
    doomed = _old_states(job)
    job.states = without(job.states, doomed)
    write_state(
        state,
        Progress(job.step, job.plan.identity, job.weights, job.states),
        adapter=job.adapter.state(),
        optimizer=job.optimizer.state_dict(),
        scaler=job.scaler.state_dict(),
        config=config,
    )
    yield Saved("state", job.step, epoch, str(state))
    for name in doomed:
        delete_folder(job.plan.folder.path / name)


def _forget_old_weights(job: Job) -> None:
    """Delete weights of epochs beyond the number to keep; only files this run wrote are in the list."""
    gone = expired(job.weights, job.plan.config.save_last_n_epochs)
    for name in gone:
        (job.plan.folder.path / name).unlink(missing_ok=True)
    job.weights = without(job.weights, gone)


def _old_states(job: Job) -> tuple[str, ...]:
    """Return the states to delete once the new one is written: all older ones unless states are kept."""
    config = job.plan.config
    if not config.save_state:
        return job.states[:-1]
    return expired(job.states, config.save_last_n_epochs_state or config.save_last_n_epochs)
