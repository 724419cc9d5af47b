"""How many steps a run takes, exactly, from the pictures in each bucket."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class StepPlan:
    """The length of a run; ``images`` counts repeats, a step is one optimizer update."""

    images: int
    batches_per_epoch: int
    steps_per_epoch: int
    epochs: int
    total_steps: int


def plan_steps(
    bucket_counts: Sequence[int], *, batch_size: int, accumulation: int, epochs: int, max_steps: int
) -> StepPlan:
    """Plan a run over buckets holding so many pictures x repeats each.

    A batch never mixes buckets, so each bucket's last batch may be smaller; the last group of an epoch steps
    with fewer batches than ``accumulation``. ``max_steps`` above 0 wins over ``epochs``, and cuts the last
    epoch short where it must.

    Raises:
        ValueError: no pictures, or neither epochs nor steps.
    """
    images = sum(bucket_counts)
    if images <= 0:
        raise ValueError("there are no pictures to plan for")
    if epochs <= 0 and max_steps <= 0:
        raise ValueError("either epochs or max_steps must be above 0")
    batches = sum(-(-count // batch_size) for count in bucket_counts)
    steps_per_epoch = -(-batches // accumulation)
    total = max_steps if max_steps > 0 else epochs * steps_per_epoch
    return StepPlan(
        images=images,
        batches_per_epoch=batches,
        steps_per_epoch=steps_per_epoch,
        epochs=-(-total // steps_per_epoch),
        total_steps=total,
    )
