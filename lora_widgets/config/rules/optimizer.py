"""Rules about the optimizer: its package, its arguments, and the machine it runs on."""

from lora_widgets.catalog.optimizer_arguments import NUMBER, Kind
from lora_widgets.catalog.optimizers import OPTIMIZERS
from lora_widgets.config.arguments import arguments_text
from lora_widgets.config.names import did_you_mean
from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule

_IN_FULL = {
    "AdamW8bit": "AdamW",
    "PagedAdamW": "AdamW",
    "PagedAdamW8bit": "AdamW",
    "PagedAdamW32bit": "AdamW",
    "Lion8bit": "Lion",
    "PagedLion8bit": "Lion",
    "SGDNesterov8bit": "SGDNesterov",
}
_LIMITS_ITSELF = ("ProdigyPlusScheduleFree",)


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
    row = now.config.optimizer
    for name in now.config.optimizer_arguments:
        if name == "lr":
            return Advice("`optimizer_args` sets lr, which has settings of its own.", "Use `unet_lr`.")
        if name not in row.arguments and name != "weight_decay":
            known = ", ".join(sorted(row.arguments))
            hint = did_you_mean(name, row.arguments)
            return Advice(f"{row.name} has no argument {name[:80]!r}.{hint}", f"It knows: {known}.")
    return None


@rule(Severity.ERROR, "optimizer_args")
def argument_wrong(now: Situation) -> Advice | None:
    """An argument must be of the kind that the optimizer expects."""
    kinds: dict[str, Kind] = {**now.config.optimizer.arguments, "weight_decay": NUMBER}
    for name, value in now.config.optimizer_arguments.items():
        if name in kinds and not kinds[name].accepts(value):
            return Advice(
                f"`optimizer_args` sets {name} to {str(value)[:80]!r}, but it must be {kinds[name].words}.",
                f"Write {name}={kinds[name].example}, or leave it out.",
            )
    return None


@rule(Severity.ERROR, "optimizer_args")
def arguments_at_odds(now: Situation) -> Advice | None:
    """Some arguments need others."""
    given = now.config.optimizer_values
    if given.get("nesterov") and given.get("momentum") == 0:
        return Advice(
            "`optimizer_args` sets momentum to 0, but Nesterov's method is all about momentum.",
            "Write momentum=0.9, or leave it out.",
            _with_arguments(now, momentum=0.9),
        )
    if given.get("warmup_init") and not given.get("relative_step"):
        return Advice(
            "`optimizer_args` sets warmup_init, the gentle start of steps that Adafactor finds itself, but "
            "also relative_step=False.",
            "Leave warmup_init out, and set `lr_warmup_ratio` instead.",
            _with_arguments(now, warmup_init=False),
        )
    return None


@rule(Severity.NOTE, "optimizer_args", "weight_decay")
def two_weight_decays(now: Situation) -> Advice | None:
    """The argument wins over the setting."""
    given = now.config.optimizer_arguments.get("weight_decay", now.config.weight_decay)
    if given == now.config.weight_decay:
        return None
    return Advice(f"`optimizer_args` sets weight_decay to {given}, which wins over `weight_decay`.")


@rule(Severity.WARNING, "weight_decay", "lora_type")
def decay_of_the_model(now: Situation) -> Advice | None:
    """Where the weights of the model itself are trained, decay pulls these to zero."""
    if now.config.lora_type != "Native Fine-Tuning" or now.config.optimizer_values["weight_decay"] == 0:
        return None
    return Advice(
        "Native Fine-Tuning trains the base model's own weights, and weight decay pulls them towards zero: "
        "the model slowly forgets everything.",
        "Set `weight_decay` to 0.",
        change(weight_decay=0.0),
    )


@rule(Severity.WARNING, "optimizer_type")
def made_for_gpus(now: Situation) -> Advice | None:
    """The 8-bit and paged optimizers save memory of a GPU, and are slow without one."""
    name = now.config.optimizer_type
    other = _IN_FULL.get(name)
    if other is None or now.facts.cuda is not False:
        return None
    return Advice(
        f"`optimizer_type` is {name}, which is made for CUDA GPUs; without one its steps take many times as "
        f"long as those of {other}{', and nothing is paged' if name.startswith('Paged') else ''}.",
        f"Choose {other}.",
        change(optimizer_type=other),
    )


@rule(Severity.NOTE, "max_grad_norm", "optimizer_type")
def clipping_disturbs(now: Situation) -> Advice | None:
    """An optimizer that measures gradients should see them as they are."""
    config = now.config
    if config.optimizer_type not in _LIMITS_ITSELF or config.max_grad_norm == 0:
        return None
    return Advice(
        f"{config.optimizer_type} limits its steps itself and finds its rate from the gradients; "
        f"`max_grad_norm` {config.max_grad_norm:g} shortens these before it sees them.",
        "Set `max_grad_norm` to 0.",
        change(max_grad_norm=0.0),
    )


def _with_arguments(now: Situation, **more: object):  # noqa: ANN202
    return change(optimizer_args=arguments_text({**now.config.optimizer_arguments, **more}))
