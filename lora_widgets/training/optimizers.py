"""From the optimizer settings to an optimizer with one parameter group per component."""

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import nn

from lora_widgets.catalog.lr_schedules import LR_SCHEDULES
from lora_widgets.catalog.optimizers import OPTIMIZERS, OptimizerRow
from lora_widgets.config.learning_rate import LearningRate, Optimizer
from lora_widgets.errors import ConfigError

_OWN = ("params", "lr")
"""Arguments that other settings decide."""


def optimizer_class(settings: Optimizer) -> type[torch.optim.Optimizer]:
    """Return the class behind ``optimizer_type``.

    Raises:
        ConfigError: its package is not installed.
    """
    row = OPTIMIZERS[settings.optimizer_type]
    module, _, name = row.import_path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise ConfigError(
            f"`optimizer_type` is {row.name}, which needs the package {row.package}, but it cannot be "
            f"imported "
            f"({error}). Install it with: pip install {row.package}"
        ) from error


def optimizer_keywords(settings: Optimizer) -> dict[str, Any]:
    """Return the constructor's keyword arguments beside parameters and rates.

    ``optimizer_args`` win over ``weight_decay``, and both over the catalog's defaults. AdamW is fused where
    nothing else is asked for: one kernel per step instead of one per tensor.

    Raises:
        ConfigError: ``optimizer_args`` names an argument the class does not have.
    """
    row, given = OPTIMIZERS[settings.optimizer_type], settings.optimizer_arguments
    cls = optimizer_class(settings)
    known = inspect.signature(cls).parameters
    _refuse_unknown(row, given, known)
    keywords = {**row.defaults, "weight_decay": settings.weight_decay, **given}
    if "fused" in known and not given.keys() & {"fused", "foreach", "differentiable"}:
        keywords["fused"] = True
    try:
        cls([nn.Parameter(torch.zeros(1))], **{"lr": 1e-3, **keywords})
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise ConfigError(
            f"`optimizer_args` is {settings.optimizer_args!r}, but {row.name} cannot be made with it: "
            f"{error}. "
            "Correct the value or leave the argument out."
        ) from error
    return keywords


def build_optimizer(
    settings: Optimizer,
    parameters: Mapping[str, Sequence[nn.Parameter]],
    *,
    rates: Mapping[str, float],
) -> torch.optim.Optimizer:
    """Return an optimizer with a group per component, at its base rate and named as the rate is."""
    groups = [
        {"params": list(group), "lr": rates[rate_name(component)], "name": rate_name(component)}
        for component, group in parameters.items()
    ]
    return optimizer_class(settings)(groups, **optimizer_keywords(settings))  # pyright: ignore[reportCallIssue]


def rate_name(component: str) -> str:
    """Return what the rate of a component is called: the text encoders of a family share one."""
    return "text_encoder" if component.startswith("text_encoder") else component


def base_rates(settings: LearningRate) -> dict[str, float]:
    """Return the base learning rates, by the names of the components that train."""
    rates = {"unet": settings.unet_lr, "text_encoder": settings.text_encoder_lr}
    return {name: rate for name, rate in rates.items() if rate > 0}


def rates_at(settings: LearningRate, step: int, *, total: int) -> dict[str, float]:
    """Return the learning rates, by name, for the update ``step`` (from 0)."""
    factor = LR_SCHEDULES[settings.lr_scheduler].factor
    return {
        name: rate * factor(step, settings.schedule_shape(total, base_lr=rate))
        for name, rate in base_rates(settings).items()
    }


def set_rates(optimizer: torch.optim.Optimizer, rates: Mapping[str, float]) -> None:
    """Give each group its rate."""
    for group in optimizer.param_groups:
        group["lr"] = rates[group["name"]]


def _refuse_unknown(row: OptimizerRow, given: Mapping[str, object], known: Mapping[str, object]) -> None:
    for name in given:
        if name in _OWN or name not in known:
            choices = ", ".join(sorted(set(known) - {*_OWN, "self"}))
            raise ConfigError(
                f"`optimizer_args` gives {name!r}, but {row.name} has no such argument to set there. "
                f"It has: {choices}."
            )
