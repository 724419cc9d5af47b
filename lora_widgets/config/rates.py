"""The learning rates of a run at each of its steps: from the settings alone, so that they can be drawn."""

from collections.abc import Iterable

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.catalog.lr_schedules import LR_SCHEDULES, ScheduleRow
from lora_widgets.config.training_config import TrainingConfig


def base_rates(config: TrainingConfig) -> dict[str, float]:
    """Return the base learning rates, by the names of the components that train."""
    return {component: config.rate_of(component) for component in config.trained_components}


def rates_by_setting(config: TrainingConfig) -> dict[str, float]:
    """Return the base learning rates of all that trains, by the settings that decide them."""
    own = own_text_encoder_rates(config)
    return {
        f"{name}_lr" if name == "unet" or f"{name}_lr" in own else "text_encoder_lr": rate
        for name, rate in base_rates(config).items()
    }


def own_text_encoder_rates(config: TrainingConfig) -> dict[str, float]:
    """Return the rates of single text encoders that are set, by their settings."""
    rates = {"text_encoder_1_lr": config.text_encoder_1_lr, "text_encoder_2_lr": config.text_encoder_2_lr}
    return {name: rate for name, rate in rates.items() if rate is not None}


def common_text_rate_is_unused(config: TrainingConfig) -> bool:
    """Say whether every text encoder has a rate of its own."""
    wanted = {f"{name}_lr" for name in FAMILIES[config.model_type].text_encoders}
    return wanted <= own_text_encoder_rates(config).keys()


def without_text_encoders(config: TrainingConfig) -> dict[str, object]:
    """Return the changes of settings with which no text encoder trains."""
    return {"text_encoder_lr": 0.0, **dict.fromkeys(own_text_encoder_rates(config))}


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
