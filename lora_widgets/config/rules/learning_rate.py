"""Rules about rates, warm-up and schedule."""

import math

from lora_widgets.catalog.lr_schedules import LR_SCHEDULES, POLYNOMIAL_END_RATE, step_rules
from lora_widgets.config.names import did_you_mean
from lora_widgets.config.rates import base_rates
from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule
from lora_widgets.config.setup import DEMO

_OWN_RATES = {"(IA)³": (5e-3, 1e-2), "Native Fine-Tuning": (1e-6, 1e-5)}
"""What is usual for adapter types that want other rates than LoRA."""

_WAVES = ("cosine_with_min_lr", "cosine_warmup_with_min_lr")
_SWINGING = (*_WAVES, "warmup_stable_decay")
_NUMBERS = {"gamma": (0.0, 1.0), "d": (0.0, 1.0), "min_lr": (0.0, 1.0), "warmup_lr_rate": (0.0, 1.0)}
_USUAL = {"gamma": "gamma=0.9", "d": "d=0.9", "min_lr": "min_lr=1e-6", "warmup_lr_rate": "warmup_lr_rate=0.1"}


@rule(Severity.ERROR, "unet_lr", "text_encoder_lr")
def nothing_is_trained(now: Situation) -> Advice | None:
    """Rates of 0 everywhere leave no adapter."""
    if now.config.trained_components:
        return None
    return Advice(
        "`unet_lr` and the rates of the text encoders are all 0: nothing would be trained.",
        "Set at least `unet_lr` above 0; 1e-4 to 5e-4 is usual.",
        change(unet_lr=5e-4),
    )


@rule(Severity.WARNING, "unet_lr", "text_encoder_lr", "optimizer_type")
def high_rate(now: Situation) -> Advice | None:
    """Rates above twice what is usual for the optimizer usually destroy the model."""
    config, (low, high) = now.config, now.config.optimizer.usual
    highest = max(base_rates(config).values(), default=0.0)
    # The small model that comes with the package stands, and wants, higher rates.
    is_demo = config.pretrained_model_name_or_path == DEMO
    if highest <= 2 * high or is_demo or config.steps_itself or config.lora_type in _OWN_RATES:
        return None
    usual = _in_words(high) if low == high else f"{_in_words(low)} to {_in_words(high)}"
    return Advice(
        f"A learning rate is {highest:g}, which is very high for {config.optimizer_type}: pictures usually "
        "fall apart.",
        f"Use {usual} for `unet_lr`, and at most that for `text_encoder_lr`.",
    )


@rule(Severity.WARNING, "unet_lr", "lora_type")
def rate_for_the_type(now: Situation) -> Advice | None:
    """Some adapter types want other rates than LoRA: factors higher ones, the model's own weights lower."""
    config = now.config
    low, high = _OWN_RATES.get(config.lora_type, (0.0, math.inf))
    if config.optimizer.adaptive or config.steps_itself or not config.trains_unet:
        return None
    if low / 5 <= config.unet_lr <= 5 * high:
        return None
    wrong = "low" if config.unet_lr < low else "high"
    return Advice(
        f"`unet_lr` is {config.unet_lr:g}, which is too {wrong} for {config.lora_type}.",
        f"Use {_in_words(low)} to {_in_words(high)}.",
        change(unet_lr=low),
    )


@rule(Severity.NOTE, "lr_scheduler", "lr_warmup_ratio", "lr_warmup_steps")
def schedule_without_warmup(now: Situation) -> Advice | None:
    """Some schedules begin at their full rate."""
    config = now.config
    if LR_SCHEDULES[config.lr_scheduler].warms_up or not (config.lr_warmup_ratio or config.lr_warmup_steps):
        return None
    fix = change(lr_scheduler="constant_with_warmup") if config.lr_scheduler == "constant" else None
    return Advice(
        f"The schedule {config.lr_scheduler} has no warm-up: `lr_warmup_ratio` and `lr_warmup_steps` are "
        "not used.",
        "Choose constant_with_warmup to begin gently." if fix else "",
        fix,
    )


@rule(Severity.NOTE, "lr_warmup_ratio", "lr_warmup_steps")
def two_warmups(now: Situation) -> Advice | None:
    """The number of steps wins over the share."""
    if not (now.config.lr_warmup_steps > 0 and now.config.lr_warmup_ratio > 0):
        return None
    return Advice(
        f"`lr_warmup_steps` is {now.config.lr_warmup_steps} and wins; `lr_warmup_ratio` is not used.",
        "",
        change(lr_warmup_ratio=0.0),
    )


@rule(Severity.ERROR, "lr_warmup_steps", "lr_warmup_ratio")
def warmup_too_long(now: Situation) -> Advice | None:
    """A warm-up as long as the training never reaches the full rate."""
    total = _known_total(now)
    if not total or (warmup := now.config.warmup_steps_of(total)) < total:
        return None
    return Advice(
        f"Warm-up takes {warmup} steps, but the training has only {total}: the full rate is never reached.",
        "Set `lr_warmup_steps` to 0 and `lr_warmup_ratio` to 0.05.",
        change(lr_warmup_steps=0, lr_warmup_ratio=0.05),
    )


@rule(Severity.WARNING, "lr_warmup_steps", "lr_warmup_ratio")
def warmup_long(now: Situation) -> Advice | None:
    """A warm-up of more than half of the steps is rarely meant."""
    total = _known_total(now)
    if not total or not total / 2 < (warmup := now.config.warmup_steps_of(total)) < total:
        return None
    return Advice(
        f"Warm-up takes {warmup} of {total} steps, more than half of the training.",
        "A twentieth is usual.",
        change(lr_warmup_steps=0, lr_warmup_ratio=0.05),
    )


@rule(Severity.WARNING, "lr_scheduler_number", "lr_scheduler")
def short_cycles(now: Situation) -> Advice | None:
    """Cycles of a few steps are noise."""
    total, config = _known_total(now), now.config
    uses_cycles = "lr_scheduler_number" in LR_SCHEDULES[config.lr_scheduler].reads
    if not total or not uses_cycles or config.lr_scheduler_number <= max(1, total / 10):
        return None
    return Advice(
        f"`lr_scheduler_number` is {config.lr_scheduler_number} for {total} steps: each cycle has fewer "
        "than 10.",
        "Use fewer cycles; 1 to 5 is usual.",
        change(lr_scheduler_number=1),
    )


@rule(Severity.NOTE, "lr_scheduler_number", "lr_scheduler")
def rate_swings(now: Situation) -> Advice | None:
    """With a lowest rate, the cosine swings up again after each half wave."""
    config = now.config
    if config.lr_scheduler not in _SWINGING or config.lr_scheduler_number == 1:
        return None
    return Advice(
        f"The rate swings down and up in {config.lr_scheduler_number} half waves.",
        "Set `lr_scheduler_number` to 1 for one way down.",
        change(lr_scheduler_number=1),
    )


@rule(Severity.ERROR, "lr_scheduler", "unet_lr", "text_encoder_lr")
def polynomial_below_its_end(now: Situation) -> Advice | None:
    """The polynomial schedule ends at 1e-7 and cannot begin below."""
    config = now.config
    rates = [rate for rate in base_rates(config).values() if rate <= POLYNOMIAL_END_RATE]
    if config.lr_scheduler != "polynomial" or not rates:
        return None
    return Advice(
        f"A learning rate is {rates[0]:g}, but the polynomial schedule ends at 1e-7 and must begin above it.",
        "Raise the rate, or choose the linear schedule.",
        change(lr_scheduler="linear"),
    )


@rule(Severity.ERROR, "lr_scheduler", "lr_scheduler_min_lr_ratio")
def lowest_rate_missing(now: Situation) -> Advice | None:
    """A schedule down to a lowest rate must know it."""
    config = now.config
    if config.lr_scheduler not in _WAVES or config.lr_scheduler_min_lr_ratio is not None:
        return None
    return Advice(
        f"The schedule {config.lr_scheduler} needs `lr_scheduler_min_lr_ratio`, the lowest rate as a share.",
        "Set it to 0.1.",
        change(lr_scheduler_min_lr_ratio=0.1),
    )


@rule(Severity.ERROR, "lr_scheduler", "lr_decay_steps")
def decay_missing(now: Situation) -> Advice | None:
    """A schedule that decays at the end must know when."""
    if now.config.lr_scheduler != "warmup_stable_decay" or now.config.lr_decay_steps > 0:
        return None
    return Advice(
        "The schedule warmup_stable_decay needs `lr_decay_steps`, the length of its last part.",
        "Set it to 0.2, a fifth of all steps.",
        change(lr_decay_steps=0.2),
    )


@rule(Severity.ERROR, "lr_decay_steps", "lr_warmup_steps", "lr_warmup_ratio")
def decay_too_long(now: Situation) -> Advice | None:
    """Warm-up and decay must fit into the training."""
    total, config = _known_total(now), now.config
    if not total or config.lr_scheduler != "warmup_stable_decay":
        return None
    shape = config.schedule_shape(total, base_lr=1.0)
    if shape.warmup + shape.decay_steps <= total:
        return None
    return Advice(
        f"Warm-up ({shape.warmup}) and decay ({shape.decay_steps}) together exceed the {total} steps of "
        "the training.",
        "Set `lr_decay_steps` to 0.2, a fifth of all steps.",
        change(lr_decay_steps=0.2),
    )


@rule(Severity.ERROR, "lr_scheduler_args", "lr_scheduler")
def schedule_arguments_wrong(now: Situation) -> Advice | None:
    """Arguments of the schedule must be numbers in range, and step rules readable."""
    name, args = now.config.lr_scheduler, now.config.lr_scheduler_arguments
    if name == "piecewise_constant":
        return _step_rules_advice(args.get("step_rules"))
    for key, (low, high) in _NUMBERS.items():
        value = args.get(key, high) if key in LR_SCHEDULES[name].arguments else high
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            return Advice(
                f"`lr_scheduler_args` sets {key} to {value}, but it must be a number from {low:g} to "
                f"{high:g}.",
                f"Usual is {_USUAL[key]}.",
            )
    return None


@rule(Severity.ERROR, "lr_scheduler_args", "lr_scheduler")
def unknown_schedule_argument(now: Situation) -> Advice | None:
    """A misspelt argument of the schedule would act on nothing."""
    known = LR_SCHEDULES[now.config.lr_scheduler].arguments
    unknown = next((name for name in now.config.lr_scheduler_arguments if name not in known), None)
    if not known or unknown is None:  # a schedule without arguments is told of elsewhere
        return None
    return Advice(
        f"The schedule {now.config.lr_scheduler} has no argument {unknown[:80]!r}."
        f"{did_you_mean(unknown, known)}",
        f"It knows: {', '.join(sorted(known))}.",
    )


def _in_words(rate: float) -> str:
    """Write a rate as people do: 5e-4."""
    return f"{rate:g}" if rate >= 0.01 else f"{rate:.0e}".replace("e-0", "e-")


def _step_rules_advice(rules: object) -> Advice | None:
    example = "Write step_rules=1:200,0.5:600,0.1: the full rate to step 200, half to 600, then a tenth."
    if rules is None:
        return Advice("The schedule piecewise_constant needs step_rules in `lr_scheduler_args`.", example)
    try:
        step_rules(str(rules))
    except ValueError as error:
        return Advice(f"`lr_scheduler_args` has step_rules that cannot be read: {error}.", example)
    return None


def _known_total(now: Situation) -> int:
    """Total steps, or 0 while they are unknown."""
    return now.steps.total_steps if now.steps else now.config.max_train_steps
