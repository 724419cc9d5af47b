"""Rules about the rates and the schedule that the chosen optimizer wants."""

from collections.abc import Mapping

from lora_widgets.config.arguments import arguments_text
from lora_widgets.config.rates import base_rates, rates_by_setting, without_text_encoders
from lora_widgets.config.rules.rule import Advice, Fix, Severity, Situation, change, rule

WITHOUT_WARMUP = ("DAdaptSGD",)
"""Optimizers that divide by the length of their first step, which must not be 0."""

LOW = 10
"""More than so many times below what is usual is too low."""

_GENTLE = ("constant", "constant_with_warmup", "cosine")
_NO_LORAPLUS: dict[str, object] = {
    "loraplus_lr_ratio": 1.0,
    "loraplus_unet_lr_ratio": None,
    "loraplus_text_encoder_lr_ratio": None,
}
_TYPES_WITH_LORA_UP = ("LoRA", "LoCon", "DoRA", "DyLoRA")


@rule(Severity.WARNING, "unet_lr", "text_encoder_lr", "optimizer_type")
def low_rate(now: Situation) -> Advice | None:
    """Optimizers that want rates near 1 learn nothing with those of AdamW."""
    row, low = now.config.optimizer, now.config.optimizer.usual[0]
    highest = max(base_rates(now.config).values(), default=0.0)
    if low < 0.1 or not 0 < highest < low / LOW:
        return None
    why = "multiplies the rate that it finds itself" if row.adaptive else "must be much higher than for AdamW"
    return Advice(
        f"The highest learning rate is {highest:g}, but that of {row.name} {why}: next to nothing would be "
        "learned.",
        f"Use {low:g}.",
        _same_for_all(now, low),
    )


@rule(Severity.ERROR, "unet_lr", "text_encoder_lr", "optimizer_type")
def one_multiplier(now: Situation) -> Advice | None:
    """Most optimizers that find their rate find one for everything."""
    config = now.config
    if config.optimizer.rates != "one multiplier" or not _rates_differ(now):
        return None
    return Advice(
        f"{_in_words(rates_by_setting(config))}, but "
        f"{config.optimizer_type} finds one rate for everything and stops with an error if these differ.",
        f"Set both to {config.optimizer.usual[0]:g}, or `text_encoder_lr` to 0.",
        _same_for_all(now, config.optimizer.usual[0]),
        (change(**without_text_encoders(config)),),
    )


@rule(Severity.WARNING, "unet_lr", "text_encoder_lr", "optimizer_type")
def ratio_of_rates_ignored(now: Situation) -> Advice | None:
    """Two optimizers take the largest rate for everything, and say nothing of it."""
    config = now.config
    if config.optimizer.rates != "ratio ignored" or not _rates_differ(now):
        return None
    return Advice(
        f"{_in_words(rates_by_setting(config))}, but "
        f"{config.optimizer_type} uses the larger one for everything.",
        f"Set both to {config.optimizer.usual[0]:g}, or `text_encoder_lr` to 0.",
        _same_for_all(now, config.optimizer.usual[0]),
        (change(**without_text_encoders(config)),),
    )


@rule(Severity.NOTE, "lr_scheduler", "optimizer_type")
def schedule_beside_found_rate(now: Situation) -> Advice | None:
    """A rate that is found is seldom meant to jump."""
    row, schedule = now.config.optimizer, now.config.lr_scheduler
    if not row.adaptive or row.averages or schedule in _GENTLE:
        return None
    return Advice(
        f"{row.name} finds its learning rate itself and is usually run with the schedule constant or "
        f"cosine, not {schedule}.",
        "Choose cosine.",
        change(lr_scheduler="cosine"),
    )


@rule(Severity.NOTE, "lr_scheduler", "optimizer_type")
def schedule_replaced_by_average(now: Situation) -> Advice | None:
    """Schedule-free optimizers average their weights instead of lowering the rate."""
    row, schedule = now.config.optimizer, now.config.lr_scheduler
    if not row.averages or schedule in ("constant", "constant_with_warmup"):
        return None
    return Advice(
        f"{row.name} averages its weights instead of lowering the rate: of the schedule {schedule} only "
        "the warm-up acts.",
        "Choose constant_with_warmup to say so.",
        change(lr_scheduler="constant_with_warmup"),
    )


@rule(Severity.WARNING, "optimizer_args", "lr_warmup_ratio", "lr_warmup_steps")
def warmup_misleads_prodigy(now: Situation) -> Advice | None:
    """Prodigy's estimate divides by its steps, which a warm-up makes small."""
    config = now.config
    if config.optimizer_type != "Prodigy" or not _warms_up(now):
        return None
    if config.optimizer_values.get("safeguard_warmup"):
        return None
    return Advice(
        "Prodigy divides by the length of its steps to find its rate, and a warm-up makes these small; its "
        "authors advise safeguard_warmup for that, but `optimizer_args` turns it off.",
        "Leave safeguard_warmup out, or do without warm-up.",
        change(lr_warmup_ratio=0.0, lr_warmup_steps=0),
    )


@rule(Severity.ERROR, "optimizer_type", "lr_warmup_ratio", "lr_warmup_steps")
def nothing_in_the_first_step(now: Situation) -> Advice | None:
    """A warm-up begins at rate 0, which one optimizer divides by."""
    name = now.config.optimizer_type
    if name not in WITHOUT_WARMUP or not _warms_up(now):
        return None
    return Advice(
        f"A warm-up begins with the rate 0, and {name} stops with a division by zero there.",
        "Set `lr_warmup_ratio` and `lr_warmup_steps` to 0.",
        change(lr_warmup_ratio=0.0, lr_warmup_steps=0),
    )


@rule(Severity.NOTE, "optimizer_type", "lr_scheduler", "lr_warmup_ratio", "lr_warmup_steps")
def decides_its_steps_itself(now: Situation) -> Advice | None:
    """Adafactor with relative steps takes neither rates nor schedule."""
    config = now.config
    if not config.steps_itself or config.lr_scheduler == "adafactor":
        return None
    return Advice(
        f"{config.optimizer_type} decides the length of its steps itself: `unet_lr` and `text_encoder_lr` "
        "only say what is trained, and schedule and warm-up do not act.",
        "Choose the schedule adafactor to say so, or add relative_step=False to `optimizer_args`.",
        change(lr_scheduler="adafactor"),
    )


@rule(Severity.NOTE, "optimizer_type", "optimizer_args")
def short_steps_from_zero(now: Situation) -> Advice | None:
    """Adafactor's own steps are shares of a weight's size, and half of a low-rank adapter begins at zero."""
    config = now.config
    given = config.optimizer_arguments
    if not config.steps_itself or "eps" in given or given.get("scale_parameter") is False:
        return None
    return Advice(
        f"{config.optimizer_type} takes steps of a hundredth of a weight's size, which it takes for 0.001 at "
        "least: an adapter begins at zero, and learns slowly so.",
        "Add eps=1e-30,0.05 to `optimizer_args`: the steps are 5e-4 then.",
        change(optimizer_args=arguments_text({**given, "eps": (1e-30, 0.05)})),
    )


@rule(Severity.ERROR, "lr_scheduler", "optimizer_type", "optimizer_args")
def schedule_adafactor_alone(now: Situation) -> Advice | None:
    """The schedule adafactor leaves the rate to an optimizer that must find it."""
    config = now.config
    if config.lr_scheduler != "adafactor" or config.steps_itself:
        return None
    return Advice(
        "The schedule adafactor leaves the steps to the optimizer Adafactor with relative_step on, but "
        f"`optimizer_type` is {config.optimizer_type}{_without_relative(now)}.",
        "Choose constant_with_warmup.",
        change(lr_scheduler="constant_with_warmup"),
    )


@rule(Severity.NOTE, "optimizer_args", "max_grad_norm", "lr_scheduler")
def adafactor_at_a_fixed_rate(now: Situation) -> Advice | None:
    """With a rate from outside, Adafactor is best left alone otherwise."""
    config = now.config
    if config.optimizer_type != "Adafactor" or config.steps_itself or config.lr_scheduler == "adafactor":
        return None
    if config.max_grad_norm == 0 and config.lr_scheduler == "constant_with_warmup":
        return None
    return Advice(
        "Adafactor with relative_step=False clips its steps itself and is usually run with `max_grad_norm` 0 "
        "and the schedule constant_with_warmup.",
        "Set them so.",
        change(max_grad_norm=0.0, lr_scheduler="constant_with_warmup"),
    )


@rule(Severity.ERROR, "loraplus_lr_ratio", "optimizer_type")
def loraplus_without_own_rates(now: Situation) -> Advice | None:
    """LoRA+ is two rates, and some optimizers have one."""
    config = now.config
    has_own_rates = config.optimizer.rates in ("absolute", "multiplier") and not config.steps_itself
    if not config.loraplus_ratios or has_own_rates:
        return None
    return Advice(
        f"LoRA+ lets lora_up learn {max(config.loraplus_ratios.values()):g} times faster, but "
        f"{config.optimizer_type} finds one rate for everything.",
        "Set `loraplus_lr_ratio` to 1, or choose AdamW.",
        Fix("Turn LoRA+ off", dict(_NO_LORAPLUS)),
    )


@rule(Severity.WARNING, "loraplus_lr_ratio", "lora_type")
def loraplus_without_lora_up(now: Situation) -> Advice | None:
    """Only pairs of matrices have a second one that may learn faster."""
    config = now.config
    if not config.loraplus_ratios or config.lora_type in _TYPES_WITH_LORA_UP:
        return None
    return Advice(
        f"`lora_type` is {config.lora_type}, which has no lora_up matrices: LoRA+ has no effect.",
        f"Set `loraplus_lr_ratio` to 1; LoRA+ is for {', '.join(_TYPES_WITH_LORA_UP)}.",
        Fix("Turn LoRA+ off", dict(_NO_LORAPLUS)),
    )


def _rates_differ(now: Situation) -> bool:
    return len(set(base_rates(now.config).values())) > 1


def _in_words(rates: Mapping[str, float]) -> str:
    first, *others = [(name, f"{rate:g}") for name, rate in rates.items()]
    return " and ".join([f"`{first[0]}` is {first[1]}", *(f"`{name}` {rate}" for name, rate in others)])


def _warms_up(now: Situation) -> bool:
    config = now.config
    total = now.steps.total_steps if now.steps else config.max_train_steps
    return config.warmup_steps_of(total or 1_000_000) > 0


def _same_for_all(now: Situation, rate: float) -> Fix:
    """Give everything that trains the same rate."""
    return change(**dict.fromkeys(rates_by_setting(now.config), rate))


def _without_relative(now: Situation) -> str:
    return " with relative_step=False" if now.config.optimizer.relative else ""
