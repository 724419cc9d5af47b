"""The learning rates of a run at each of its steps: from the settings alone, so that they can be drawn."""

from collections.abc import Iterable

from lora_widgets.catalog.lr_schedules import LR_SCHEDULES, ScheduleRow
from lora_widgets.config.learning_rate import LearningRate
from lora_widgets.config.training_config import TrainingConfig


def base_rates(settings: LearningRate) -> dict[str, float]:
    """Return the base learning rates, by the names of the components that train."""
    rates = {"unet": settings.unet_lr, "text_encoder": settings.text_encoder_lr}
    return {name: rate for name, rate in rates.items() if rate > 0}


def schedule_in_effect(config: TrainingConfig) -> ScheduleRow:
    """Return the schedule that the rates follow.

    An optimizer that decides its steps itself takes none, and of those that average their weights
    (schedule-free, Defazio et al. 2024, arXiv:2405.15682) only the warm-up is wanted.
    """
    row = LR_SCHEDULES[config.lr_scheduler]
    if config.steps_itself:
        return LR_SCHEDULES["adafactor"]
    if config.optimizer.averages:
        return LR_SCHEDULES["constant_with_warmup" if row.warms_up else "constant"]
    return row


def rates_over(config: TrainingConfig, steps: Iterable[int], *, total: int) -> dict[str, list[float]]:
    """Return the learning rates, by name, for each of the updates ``steps`` (from 0) of ``total``."""
    steps, factor = tuple(steps), schedule_in_effect(config).factor
    shapes = {rate: config.schedule_shape(total, base_lr=rate) for rate in base_rates(config).values()}
    return {
        name: [rate * factor(step, shapes[rate]) for step in steps]
        for name, rate in base_rates(config).items()
    }


def rates_at(config: TrainingConfig, step: int, *, total: int) -> dict[str, float]:
    """Return the learning rates, by name, for one update."""
    return {name: rates[0] for name, rates in rates_over(config, (step,), total=total).items()}
