"""The loop: one update after another, with samples and saves in between."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lora_widgets.config.phases import SAMPLES, TRAINING
from lora_widgets.config.rates import rates_at
from lora_widgets.data.dataset import Batch
from lora_widgets.data.prefetch import Prefetcher
from lora_widgets.errors import TrainingError
from lora_widgets.events import Event, Finished, Notice, StepDone
from lora_widgets.families.family import TextEmbedding
from lora_widgets.training.caching import encode_pixels
from lora_widgets.training.compiled import with_retry
from lora_widgets.training.control import Control
from lora_widgets.training.loss import diffusion_loss, draw_noise, emphasis_of
from lora_widgets.training.measuring import keep_what_was_measured, memory_may_run_out
from lora_widgets.training.offloading import checkpoints_waiting
from lora_widgets.training.optimizers import averaged, rates_in_effect, set_rates
from lora_widgets.training.out_of_memory import explained, is_out_of_memory, make_room
from lora_widgets.training.precision import VAE_OVERFLOWS
from lora_widgets.training.prepare import Job
from lora_widgets.training.randomness import generator_for
from lora_widgets.training.saves import save_end, save_if_due


@dataclass(frozen=True)
class StepResult:
    """What one update gave: the mean loss of its pictures, the gradient's norm, how many pictures."""

    loss: float
    grad_norm: float
    images: int
    skipped: bool


def run_loop(job: Job, control: Control) -> Iterator[Event]:
    """Yield what happened until all steps are done or a stop is asked for; then save and yield `Finished`.

    A consumer that stops asking ends the run as tidily: weights and state are saved, nothing more is yielded.
    """
    total = job.plan.steps.total_steps
    config, per_epoch = job.plan.config, job.plan.steps.steps_per_epoch
    indices = micro_steps(job, job.step).start, micro_steps(job, total - 1).stop
    ahead = config.prefetch_batches
    with Prefetcher(job.dataset.batch_at, start=indices[0], stop=indices[1], ahead=ahead) as batches:
        try:
            if job.step == 0 and config.sample_at_first:
                yield from _samples(job, step=0, epoch=1, untouched=True)
                job.peaks.only_partly(SAMPLES)  # the optimizer has no state yet
            job.peaks.restart()
            last = time.perf_counter()
            while job.step < total and not control.checkpoint():
                yield from _one_step(job, batches, since=last)
                last = time.perf_counter()
                if config.sample_every.due(job.step, steps_per_epoch=per_epoch):
                    with averaged(job.optimizer):
                        yield from _samples(
                            job, step=job.step, epoch=job.epoch_of(job.step - 1), untouched=False
                        )
                yield from save_if_due(job)
        except GeneratorExit:
            for _ in save_end(job):
                pass
            raise
        except Exception as error:
            # Whatever went wrong came before an update, so what was learned so far is whole.
            if not is_out_of_memory(error):
                yield from save_end(job)
                raise
            make_room(error)
            yield from save_end(job)
            raise explained(
                error, config, device=job.precision.device, while_doing=f"step {job.step + 1}"
            ) from None
    yield from _finish(job)


def _samples(job: Job, *, step: int, epoch: int, untouched: bool) -> Iterator[Event]:
    begun = time.perf_counter()
    work = job.studio.draw_all(step=step, epoch=epoch, untouched=untouched)
    yield from job.peaks.measured(SAMPLES, work)
    job.pace.take_round(time.perf_counter() - begun)
    job.peaks.restart()


def micro_steps(job: Job, step: int) -> range:
    """Return the batches of the update ``step`` (from 0): the last group of an epoch may be smaller."""
    steps, accumulation = job.plan.steps, job.plan.config.gradient_accumulation_steps
    epoch, group = divmod(step, steps.steps_per_epoch)
    first = group * accumulation
    last = min(first + accumulation, steps.batches_per_epoch)
    return range(epoch * steps.batches_per_epoch + first, epoch * steps.batches_per_epoch + last)


def _one_step(job: Job, batches: Iterator[Batch], *, since: float) -> Iterator[Event]:
    step = job.step
    set_rates(job.optimizer, rates_at(job.plan.config, step, total=job.plan.steps.total_steps))
    result = _update(job, step, batches)
    job.step = step + 1
    job.peaks.take(TRAINING)
    if step == job.first_step + 1:  # the first update makes the optimizer's state
        job.peaks.tell(TRAINING)
    while job.notices:
        yield job.notices.pop(0)
    if result.skipped:
        yield Notice(
            "info", f"Step {step + 1}: gradients overflowed in fp16, so the scaler skipped the update."
        )
    seconds = time.perf_counter() - since
    yield StepDone(
        step=step + 1,
        epoch=job.epoch_of(step),
        loss=result.loss,
        learning_rates=rates_in_effect(job.optimizer),
        grad_norm=result.grad_norm,
        seconds=seconds,
        images=result.images,
    )
    yield from _how_long(job, seconds)


def _how_long(job: Job, seconds: float) -> Iterator[Event]:
    """Yield, once, how long the rest takes and whether it fits; later runs of the kind know it beforehand."""
    plan, pace = job.plan, job.pace
    pace.take_step(seconds)
    for estimate in pace.news(job.step, plan.steps, plan.config.sample_every):
        run = keep_what_was_measured(job)
        yield estimate
        yield from memory_may_run_out(job, run)


def _update(job: Job, step: int, batches: Iterator[Batch]) -> StepResult:
    """Do one update; where compiling fails, without compiled blocks from then on."""
    if job.compiled is None:
        return train_step(job, step, batches)
    return with_retry(partial(train_step, job, step), batches, give_up=job.stop_compiling)


def train_step(job: Job, step: int, batches: Iterator[Batch]) -> StepResult:
    """Do one update from the next batches.

    Raises:
        TrainingError: the loss is not finite.
    """
    group, losses, images = micro_steps(job, step), [], 0
    for position, index in enumerate(group):
        batch = next(batches)
        job.adapter.set_position(step, position)
        loss = batch_loss(job, batch, index)
        if loss.requires_grad:  # else `module_dropout` dropped every module, so there is nothing to learn
            job.scaler.scale(loss / len(group)).backward()
        losses.append(loss.detach())
        images += len(batch.images)
        job.take_batch(batch)
    _fill_gradients(job)
    norm, loss = _clip(job), torch.stack(losses).mean().item()
    _refuse_breakdown(job, loss, norm)
    job.scaler.step(job.optimizer)
    scale = job.scaler.get_scale()
    job.scaler.update()
    job.optimizer.zero_grad(set_to_none=True)
    if limit := job.plan.config.scale_weight_norms:
        job.adapter.limit_norms(limit)
    return StepResult(loss, norm, images, skipped=job.scaler.get_scale() < scale)


def _refuse_breakdown(job: Job, loss: float, norm: float) -> None:
    """Raise before the update where it would spoil the weights; fp16's scaler skips such updates itself."""
    if math.isfinite(loss) and (math.isfinite(norm) or job.scaler.is_enabled()):
        return
    what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient's norm is {norm}"
    if job.step == 0 and not math.isfinite(loss) and not job.plan.config.continue_from_lora:
        raise TrainingError(
            f"The {what} at the first step, before anything was learned: the base model gives numbers that "
            'are not finite. If `mixed_precision` is fp16, it overflows: set it to "bf16" or "no". Otherwise '
            "its weights are damaged: download them again."
        )
    raise TrainingError(
        f"Training broke down at step {job.step + 1}: the {what}. What was learned before is saved. Lower "
        '`unet_lr` and `text_encoder_lr`, or set `mixed_precision` to "bf16" or "no", and start again '
        "from an earlier save."
    )


def batch_loss(job: Job, batch: Batch, index: int) -> Tensor:
    """Return the loss of the batch at micro-step ``index``, with its graph."""
    config, process, family = job.plan.config, job.plan.family.process, job.plan.family
    latents = _latents(job, batch, index)
    drawn = draw_noise(latents, process, config, generator=generator_for(config.seed, "noise", index))
    checkpoints = checkpoints_waiting(config, job.precision.device)
    with job.precision.computing(), checkpoints, _positions(job, index):
        text = _text(job, batch, index)
        return diffusion_loss(
            latents,
            drawn,
            lambda noisy, times: family.predict(noisy, times, text, batch.sizes),
            process=process,
            settings=config,
            emphasis=emphasis_of(batch, prior_loss_weight=config.prior_loss_weight),
        )


def _text(job: Job, batch: Batch, index: int) -> TextEmbedding:
    text, drop = job.text(batch.captions), job.plan.family.drop_encoders
    if drop is None:
        return text
    seed, count = job.plan.config.seed, len(drop.rates)
    chances = [
        torch.rand(count, generator=generator_for(seed, "encoder dropout", index, position))
        for position in range(len(batch.images))
    ]
    return drop(text, torch.stack(chances))


def _positions(job: Job, index: int) -> AbstractContextManager[None]:
    crop = job.plan.family.crop_positions
    if crop is None:
        return nullcontext()
    return crop(torch.rand(3, generator=generator_for(job.plan.config.seed, "position crop", index)))


def _latents(job: Job, batch: Batch, index: int) -> Tensor:
    if batch.latents is not None:
        return batch.latents.to(job.precision.device, non_blocking=True)
    assert batch.pixels is not None  # a batch has one or the other
    latents = _encoded(job, batch.pixels, index)
    if not torch.isfinite(latents).all() and job.plan.family.vae.use_float32():
        job.notices.append(VAE_OVERFLOWS)
        latents = _encoded(job, batch.pixels, index)
    return latents


def _encoded(job: Job, pixels: Tensor, index: int) -> Tensor:
    generator = generator_for(job.plan.config.seed, "live latents", index)
    return encode_pixels(job.plan, pixels, job.precision, generator)


def _fill_gradients(job: Job) -> None:
    """Give an update whose every module was dropped gradients of zero: scalers and optimizers want some."""
    parameters = [p for group in job.optimizer.param_groups for p in group["params"]]
    if all(parameter.grad is None for parameter in parameters):
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)


def _clip(job: Job) -> float:
    """Clip the gradients' common norm (0: leave them) and return what it was."""
    job.scaler.unscale_(job.optimizer)
    parameters = [p for group in job.optimizer.param_groups for p in group["params"]]
    limit = job.plan.config.max_grad_norm or math.inf
    return float(torch.nn.utils.clip_grad_norm_(parameters, limit))


def _finish(job: Job) -> Iterator[Event]:
    files: list[str] = []
    for event in save_end(job):
        files.append(event.path)  # pyright: ignore[reportAttributeAccessIssue] - save_end yields Saved only
        yield event
    job.peaks.tell(TRAINING)
    keep_what_was_measured(job)  # samples and the largest batch may have come later than the first steps
    yield from job.notices
    reason = "done" if job.step >= job.plan.steps.total_steps else "stopped"
    yield Finished(
        reason=reason,
        step=job.step,
        total_steps=job.plan.steps.total_steps,
        seconds=time.monotonic() - job.began,
        files=tuple(files),
    )
