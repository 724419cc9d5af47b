"""The step calculator as markup: one big number, and how it comes about. Pure."""

import html
from collections.abc import Sequence

from lora_widgets.config.expectation import expected_memory, expected_seconds
from lora_widgets.config.facts import DatasetFacts
from lora_widgets.config.findings import Draft
from lora_widgets.config.memory_estimate import computes_on_gpu
from lora_widgets.config.steps import StepPlan, batch_sizes_of
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.preview.numbers import about, counted, gigabytes
from lora_widgets.widgets.look_around import FOLDER, Seen


def steps_html(draft: Draft, seen: Seen, *, counting: bool) -> str:
    """Return the card: the number of steps, or why it is not known yet.

    Args:
        draft: the newest check; its ``steps`` must not be those of other pictures.
        seen: the newest look at the disk.
        counting: whether a newer look is on its way.
    """
    dataset = seen.facts.dataset
    if draft.steps is not None and draft.config is not None and dataset is not None:
        number, words = f"{draft.steps.total_steps:,}", _arithmetic(draft.config, draft.steps, dataset, seen)
        note = _pictures(dataset) + _memory(draft.config, draft.steps, seen)
        note += _time(draft.config, draft.steps, seen)
    else:
        number, words = "–", _formula(draft.config)
        note = _why_unknown(draft, counting=counting)
    unit = "step" if number == "1" else "steps"
    return (
        '<div class="lw-steps" role="group" aria-label="Steps">'
        f'<div class="lw-steps-total"><span class="lw-steps-number">{number}</span> {unit}</div>'
        f'<div class="lw-steps-how">{html.escape(words)}</div>'
        f'<div class="lw-steps-note">{html.escape(note)}</div></div>'
    )


def _arithmetic(config: TrainingConfig, steps: StepPlan, dataset: DatasetFacts, seen: Seen) -> str:
    """Spell the calculation out, with the numbers of this run."""
    size, accumulation = _between(batch_sizes_of(config, dataset)), config.gradient_accumulation_steps
    batches, per_epoch = f"{steps.images:,} ÷ batch {size}", _per_epoch(steps)
    rounded = _rounded(steps, dataset, batch_sizes_of(config, dataset))
    if accumulation > 1:
        parts = [
            f"{batches} = {counted(steps.batches_per_epoch, 'batch')}{rounded}",
            f"{steps.batches_per_epoch:,} ÷ {accumulation} accumulated = {per_epoch}",
        ]
    else:
        parts = [f"{batches} = {per_epoch}{rounded}"]
    return "; ".join((_shown(steps, dataset, seen), *parts, _length(config, steps)))


def _shown(steps: StepPlan, dataset: DatasetFacts, seen: Seen) -> str:
    count = sum(dataset.bucket_counts)
    filled = f", filled up to {steps.images:,}" if steps.images > count else ""
    return f"{counted(dataset.images, 'picture')} {_times(seen.repeats)} = {count:,}{filled}"


def _times(repeats: tuple[int, ...]) -> str:
    if not repeats:
        return "with repeats"
    return "× 1 repeat" if repeats == (1,) else f"× {_between(repeats)} repeats"


def _between(numbers: Sequence[int]) -> str:
    least, most = min(numbers), max(numbers)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _per_epoch(steps: StepPlan) -> str:
    return f"{counted(steps.steps_per_epoch, 'step')} per epoch"


def _rounded(steps: StepPlan, dataset: DatasetFacts, batch_sizes: Sequence[int]) -> str:
    is_even = len(set(batch_sizes)) == 1 and steps.batches_per_epoch * batch_sizes[0] == steps.images
    if is_even:
        return ""
    return " (rounded up in each bucket)" if len(dataset.bucket_counts) > 1 else " (rounded up)"


def _length(config: TrainingConfig, steps: StepPlan) -> str:
    if config.max_train_steps == 0:
        epochs, total = counted(steps.epochs, "epoch"), counted(steps.total_steps, "step")
        return f"{steps.steps_per_epoch:,} × {epochs} = {total}"
    whole, rest = divmod(steps.total_steps, steps.steps_per_epoch)
    part = steps.total_steps / steps.steps_per_epoch
    epochs = f"{part:.1f} epochs" if rest else counted(whole, "epoch")
    return f"max steps {steps.total_steps:,} = {epochs}"


def _formula(config: TrainingConfig | None) -> str:
    """Say what is known while the pictures are not."""
    if config is None:
        return ""
    known = f"pictures × {counted(config.num_repeats, 'repeat')} ÷ batch {config.train_batch_size}"
    if config.gradient_accumulation_steps > 1:
        known += f" ÷ {config.gradient_accumulation_steps} accumulated"
    if config.max_train_steps > 0:
        return f"{known} = steps per epoch; ends at max steps {config.max_train_steps:,}"
    return f"{known} × {counted(config.max_train_epochs, 'epoch')} = steps"


def _pictures(dataset: DatasetFacts) -> str:
    parts = [f"{counted(dataset.images, 'picture')} in {counted(len(dataset.bucket_counts), 'bucket')}"]
    if dataset.without_caption:
        parts.append(f"{dataset.without_caption:,} without caption")
    if dataset.skipped:
        parts.append(f"{counted(len(dataset.skipped), 'file')} left out")
    return ", ".join(parts)


def _memory(config: TrainingConfig, steps: StepPlan, seen: Seen) -> str:
    """Say what the run will take at most; nothing where the size of the base model is not known."""
    estimate = expected_memory(config, seen.facts, steps)
    if estimate is None:
        return ""
    place = "GPU memory" if computes_on_gpu(seen.facts) else "memory"
    known = ", as measured" if estimate.largest.is_measured else ""
    return f"; about {gigabytes(estimate.largest.bytes)} of {place}{known}"


def _time(config: TrainingConfig, steps: StepPlan, seen: Seen) -> str:
    """Say how long the steps will take; nothing where no run of this kind has been measured."""
    seconds = expected_seconds(config, seen.facts, steps)
    return "" if seconds is None else f"; about {about(seconds)}, as the last run of this kind went"


def _why_unknown(draft: Draft, *, counting: bool) -> str:
    if not str(draft.values.get(FOLDER) or "").strip():
        return "Choose a folder of pictures in the tab Dataset."
    if any(FOLDER in finding.settings for finding in draft.errors):
        return "The folder of pictures cannot be used; the list below says why."
    if draft.config is None:
        return "Known as soon as the values marked as wrong are corrected."
    if counting:
        return "Counting the pictures …"
    return "The training has no length; the list below says why."
