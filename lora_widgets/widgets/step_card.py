"""The step calculator as markup: one big number, and how it comes about. Pure."""

import html

from lora_widgets.config.facts import DatasetFacts
from lora_widgets.config.findings import Draft
from lora_widgets.config.steps import StepPlan
from lora_widgets.config.training_config import TrainingConfig
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
        number, words = f"{draft.steps.total_steps:,}", _arithmetic(draft.config, draft.steps, seen)
        note = _pictures(dataset)
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


def counted(number: int, word: str) -> str:
    """Return a number with its word: 1 picture, 16 pictures, 2 batches."""
    plural = f"{word}es" if word.endswith("tch") else f"{word}s"
    return f"{number:,} {word if number == 1 else plural}"


def _arithmetic(config: TrainingConfig, steps: StepPlan, seen: Seen) -> str:
    """Spell the calculation out, with the numbers of this run."""
    pictures = seen.facts.dataset.images if seen.facts.dataset else 0
    shown = f"{counted(pictures, 'picture')} {_times(seen.repeats)} = {steps.images:,}"
    size, accumulation = config.train_batch_size, config.gradient_accumulation_steps
    is_even = steps.batches_per_epoch * size == steps.images
    rounded = "" if is_even else " (rounded up in each bucket)" if _num_buckets(seen) > 1 else " (rounded up)"
    if accumulation > 1:
        batches = f"{counted(steps.batches_per_epoch, 'batch')}{rounded}"
        per_epoch = f"/ batch {size} = {batches}, / {accumulation} accumulated"
        rounded = ""
    else:
        per_epoch = f"/ batch {size}"
    per_epoch += f" = {counted(steps.steps_per_epoch, 'step')} per epoch{rounded}"
    return f"{shown}, {per_epoch}{_length(config, steps)}"


def _times(repeats: tuple[int, ...]) -> str:
    if len(repeats) == 1:
        return f"× {counted(repeats[0], 'repeat')}"
    return f"× {repeats[0]} to {repeats[-1]} repeats" if repeats else "with repeats"


def _length(config: TrainingConfig, steps: StepPlan) -> str:
    if config.max_train_steps == 0:
        return f" × {counted(steps.epochs, 'epoch')} = {counted(steps.total_steps, 'step')}"
    whole, rest = divmod(steps.total_steps, steps.steps_per_epoch)
    part = steps.total_steps / steps.steps_per_epoch
    epochs = f"{part:.1f} epochs" if rest else counted(whole, "epoch")
    return f"; max steps {steps.total_steps:,} = {epochs}"


def _formula(config: TrainingConfig | None) -> str:
    """Say what is known while the pictures are not."""
    if config is None:
        return ""
    known = f"pictures × {counted(config.num_repeats, 'repeat')} / batch {config.train_batch_size}"
    if config.gradient_accumulation_steps > 1:
        known += f" / {config.gradient_accumulation_steps} accumulated"
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


def _num_buckets(seen: Seen) -> int:
    return len(seen.facts.dataset.bucket_counts) if seen.facts.dataset else 0


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
