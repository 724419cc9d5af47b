"""Rules about the optimizer."""

from lora_widgets.catalog.optimizers import OPTIMIZERS
from lora_widgets.config.names import did_you_mean
from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule

WITHOUT_WARMUP = ("DAdaptSGD",)
"""Optimizers that divide by what the first step did, which must not be nothing."""


@rule(Severity.ERROR, "optimizer_type")
def package_missing(now: Situation) -> Advice | None:
    """The optimizer's package must be installed."""
    package = OPTIMIZERS[now.config.optimizer_type].package
    if package not in now.facts.missing_packages:
        return None
    return Advice(
        f"`optimizer_type` is {now.config.optimizer_type}, which needs the package {package}, and that is "
        "not "
        "installed.",
        f"Run: pip install {package} - or choose AdamW.",
        change(optimizer_type="AdamW"),
    )


@rule(Severity.ERROR, "optimizer_args", "optimizer_type")
def unknown_argument(now: Situation) -> Advice | None:
    """Only arguments that the optimizer has can be given."""
    row = OPTIMIZERS[now.config.optimizer_type]
    if not row.active:
        return None
    for name in now.config.optimizer_arguments:
        if name == "lr":
            return Advice("`optimizer_args` sets lr, which has settings of its own.", "Use `unet_lr`.")
        if name not in row.arguments and name != "weight_decay":
            known = ", ".join(sorted(row.arguments))
            hint = did_you_mean(name, row.arguments)
            return Advice(f"{row.name} has no argument {name[:80]!r}.{hint}", f"It knows: {known}.")
    return None


@rule(Severity.NOTE, "optimizer_args", "weight_decay")
def two_weight_decays(now: Situation) -> Advice | None:
    """The argument wins over the setting."""
    given = now.config.optimizer_arguments.get("weight_decay", now.config.weight_decay)
    if given == now.config.weight_decay:
        return None
    return Advice(f"`optimizer_args` sets weight_decay to {given}, which wins over `weight_decay`.")


@rule(Severity.ERROR, "optimizer_args")
def betas_wrong(now: Situation) -> Advice | None:
    """Betas are two numbers from 0 to below 1."""
    betas = now.config.optimizer_arguments.get("betas", (0.9, 0.999))
    if isinstance(betas, list | tuple) and len(betas) == 2 and all(_is_beta(beta) for beta in betas):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return None
    return Advice(
        "`optimizer_args` sets betas to something else than two numbers from 0 to below 1.",
        "Write betas=0.9,0.999.",
    )


@rule(Severity.ERROR, "optimizer_args")
def eps_wrong(now: Situation) -> Advice | None:
    """Eps is a small number."""
    eps = now.config.optimizer_arguments.get("eps", 1e-8)
    if isinstance(eps, int | float) and not isinstance(eps, bool) and 0 <= eps < 1:
        return None
    return Advice("`optimizer_args` sets eps to something else than a small number.", "Write eps=1e-8.")


def _is_beta(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1
