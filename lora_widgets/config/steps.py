"""How many steps a run takes, exactly, from the pictures in each bucket."""

from collections.abc import Sequence
from dataclasses import dataclass

from lora_widgets.config.facts import DatasetFacts
from lora_widgets.config.training_config import TrainingConfig


@dataclass(frozen=True)
class StepPlan:
    """The length of a run; ``images`` counts repeats, a step is one optimizer update."""

    images: int
    batches_per_epoch: int
    steps_per_epoch: int
    epochs: int
    total_steps: int


def steps_of(config: TrainingConfig, dataset: DatasetFacts) -> StepPlan | None:
    """Plan the run of a configuration on the pictures found; None where it has no length or no pictures."""
    has_length = config.max_train_epochs > 0 or config.max_train_steps > 0
    if sum(dataset.bucket_counts) <= 0 or not has_length:
        return None
    return plan_steps(
        dataset.bucket_counts,
        batch_sizes=batch_sizes_of(config, dataset),
        is_filled=config.fills_batches,
        accumulation=config.gradient_accumulation_steps,
        epochs=config.max_train_epochs,
        max_steps=config.max_train_steps,
    )


def batch_sizes_of(config: TrainingConfig, dataset: DatasetFacts) -> tuple[int, ...]:
    """Return the size of the batches of each bucket."""
    return dataset.batch_sizes or (config.train_batch_size,) * len(dataset.bucket_counts)


def plan_steps(
    bucket_counts: Sequence[int],
    *,
    batch_sizes: Sequence[int],
    is_filled: bool,
    accumulation: int,
    epochs: int,
    max_steps: int,
) -> StepPlan:
    """Plan a run over buckets holding so many pictures x repeats each.

    A batch never mixes buckets, so each bucket's last batch may be smaller, unless ``is_filled``: then some
    pictures are shown once more. The last group of an epoch steps with fewer batches than ``accumulation``.
    ``max_steps`` above 0 wins over ``epochs``, and cuts the last epoch short where it must.

    Raises:
        ValueError: no pictures, or neither epochs nor steps.
    """
    if sum(bucket_counts) <= 0:
        raise ValueError("there are no pictures to plan for")
    if epochs <= 0 and max_steps <= 0:
        raise ValueError("either epochs or max_steps must be above 0")
    batches = [-(-count // size) for count, size in zip(bucket_counts, batch_sizes, strict=True)]
    shown = (
        [number * size for number, size in zip(batches, batch_sizes, strict=True)]
        if is_filled
        else bucket_counts
    )
    steps_per_epoch = -(-sum(batches) // accumulation)
    total = max_steps if max_steps > 0 else epochs * steps_per_epoch
    return StepPlan(
        images=sum(shown),
        batches_per_epoch=sum(batches),
        steps_per_epoch=steps_per_epoch,
        epochs=-(-total // steps_per_epoch),
        total_steps=total,
    )
