"""From the optimizer settings to an optimizer with its groups of parameters, and what training asks of it."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import nn

from lora_widgets.catalog.optimizers import OptimizerRow
from lora_widgets.config.learning_rate import Optimizer
from lora_widgets.config.rates import base_rates
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.errors import ConfigError, StateError

Named = Mapping[str, nn.Parameter]
Group = dict[str, Any]

_LORA_UP = "lora_up"
_TIMES = "times_rate"
"""In a group: how many times the rate of its name its own rate is."""


def optimizer_class(row: OptimizerRow) -> type[torch.optim.Optimizer]:
    """Return the class behind a row of the catalog.

    Raises:
        ConfigError: its package is not installed, or too old to have it.
    """
    module, _, name = row.import_path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"`optimizer_type` is {row.name}, which needs the package {row.package}, but it cannot be "
            f"imported ({error}). Install it with: pip install -U {row.package}"
        ) from error


def optimizer_keywords(settings: Optimizer) -> dict[str, Any]:
    """Return the constructor's keyword arguments beside parameters and rates, after trying them.

    The optimizers of PyTorch are fused where nothing else is asked for: one kernel per step instead of one
    per tensor.

    Raises:
        ConfigError: the class does not take one of ``optimizer_args``, or not with that value.
    """
    row, given = settings.optimizer, settings.optimizer_arguments
    cls, keywords = optimizer_class(row), settings.optimizer_values
    if "fused" in row.arguments and not given.keys() & {"fused", "foreach"}:
        keywords["fused"] = True
    group: Group = {"params": [nn.Parameter(torch.zeros(1, 1))], "lr": 1.0}
    try:
        _new(cls, [group | _kind(settings, matrices=True)], keywords)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise ConfigError(
            f"`optimizer_args` is {settings.optimizer_args!r}, but {row.name} cannot be made with it: "
            f"{error}. Correct the value or leave the argument out."
        ) from error
    return keywords


def build_optimizer(config: TrainingConfig, parameters: Mapping[str, Named]) -> torch.optim.Optimizer:
    """Return an optimizer, ready to train, of parameters by component and name.

    Each component has groups at its base rate, named as it is: one for all its weights, or more where
    LoRA+ or the optimizer tells them apart.
    """
    groups = [group for name, named in parameters.items() for group in _groups(config, name, named)]
    cls, keywords = optimizer_class(config.optimizer), optimizer_keywords(config)
    if keywords.get("fused") and _is_lost_when_fused(cls, groups):
        keywords["fused"] = False
    optimizer = _new(cls, groups, keywords)
    if config.optimizer.averages:
        optimizer.train()  # pyright: ignore[reportAttributeAccessIssue] - schedule-free optimizers have it
    return optimizer


def set_rates(optimizer: torch.optim.Optimizer, rates: Mapping[str, float]) -> None:
    """Give each group its rate."""
    for group in optimizer.param_groups:
        group["lr"] = rates[group["name"]] * group[_TIMES]


def rates_in_effect(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Return the rates, by name, with what the optimizer has found itself; without LoRA+'s ratio."""
    rates: dict[str, float] = {}
    for group in optimizer.param_groups:
        rates.setdefault(group["name"], _rate_of(optimizer, group) / group[_TIMES])
    return rates


@contextmanager
def averaged(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Give the weights the values that are drawn with and saved; afterwards exactly those of training.

    These differ for schedule-free optimizers only, whose own way back is off by rounding errors: with it,
    drawing a sample would change the training.
    """
    if not hasattr(optimizer, "eval"):
        yield
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    kept = [p.detach().clone() for p in parameters]
    optimizer.eval()  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        optimizer.train()  # pyright: ignore[reportAttributeAccessIssue]
        with torch.no_grad():
            for parameter, values in zip(parameters, kept, strict=True):
                parameter.copy_(values)


def load_optimizer(
    optimizer: torch.optim.Optimizer, state: dict[str, Any], settings: Optimizer, *, source: str
) -> None:
    """Take over the state of an interrupted run; the arguments of the settings act from now on.

    Raises:
        StateError: it is the state of other parameters.
    """
    names = (*settings.optimizer.arguments, "weight_decay", _TIMES)
    ours = [{name: group[name] for name in names if name in group} for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(state)
    except (ValueError, KeyError) as error:
        raise StateError(
            f"The optimizer's state in {source} belongs to other weights ({error}). Set `unet_lr`, "
            "`text_encoder_lr` and the adapter's settings as they were, or start a new run with "
            "`continue_from_lora`."
        ) from error
    for group, values in zip(optimizer.param_groups, ours, strict=True):
        group.update(values)


def _is_lost_when_fused(cls: type[torch.optim.Optimizer], groups: list[Group]) -> bool:
    """Tell whether a fused step would leave weights as they are.

    On processors that of SGD computes with halves and does not write them back (seen with torch 2.13).
    """
    weights = (parameter for group in groups for parameter in group["params"])
    return cls is torch.optim.SGD and any(
        weight.device.type == "cpu" and weight.dtype is not torch.float32 for weight in weights
    )


def _new(
    cls: type[torch.optim.Optimizer], groups: list[Group], keywords: Mapping[str, Any]
) -> torch.optim.Optimizer:
    # Every group has its rate. Only where the class insists is one given beside them: Adafactor refuses it.
    insists = inspect.signature(cls).parameters["lr"].default is inspect.Parameter.empty
    rate = {"lr": groups[0]["lr"]} if insists else {}
    return cls(groups, **rate, **keywords)


def _groups(config: TrainingConfig, component: str, named: Named) -> Iterator[Group]:
    """Yield the groups of a component: by LoRA+'s ratio, and matrices apart where the optimizer asks."""
    row, rate = config.optimizer, base_rates(config)[component]
    ratio = config.loraplus_ratios.get("unet" if component == "unet" else "text_encoder", 1.0)
    found: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for key, parameter in named.items():
        kind = (ratio if _LORA_UP in key else 1.0, bool(row.for_matrices) and parameter.ndim > 1)
        found.setdefault(kind, []).append(parameter)
    for (times, matrices), parameters in found.items():
        group: Group = {"params": parameters, "lr": rate * times, "name": component, _TIMES: times}
        yield group | _kind(config, matrices=matrices)


def _kind(settings: Optimizer, *, matrices: bool) -> Group:
    """Return what tells an optimizer for matrices which group is which; it decays the other by our wish."""
    flag = settings.optimizer.for_matrices
    return {flag: matrices, "weight_decay": settings.optimizer_values["weight_decay"]} if flag else {}


def _rate_of(optimizer: torch.optim.Optimizer, group: Group) -> float:
    """Return a group's rate; the adaptive ones keep a factor "d", and Adafactor a rate for each tensor."""
    if not group.get("relative_step"):
        return float(group["lr"]) * float(group.get("d", 1.0))
    state = next((optimizer.state[p] for p in group["params"] if optimizer.state.get(p)), None)
    # transformers' own AdafactorSchedule asks the same way, and for the first tensor alone.
    return float(optimizer._get_lr(group, state)) if state else 0.0  # pyright: ignore[reportAttributeAccessIssue]
