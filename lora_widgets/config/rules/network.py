"""Rules about the size of the adapter and where it begins."""

from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule

_LORA_FILES = (".safetensors", ".pt", ".ckpt")


@rule(Severity.NOTE, "network_dim")
def high_rank(now: Situation) -> Advice | None:
    """Ranks above 128 are rarely of use."""
    if now.config.network_dim <= 128 or not now.type_reads("network_dim"):
        return None
    return Advice(
        f"`network_dim` is {now.config.network_dim}, a very high rank: the file grows, the pictures "
        "rarely gain.",
        "4 to 64 is usual.",
    )


@rule(Severity.WARNING, "network_alpha", "network_dim")
def alpha_above_rank(now: Situation) -> Advice | None:
    """Alpha above the rank acts as a higher learning rate."""
    config = now.config
    if config.alpha <= config.network_dim or not now.type_reads("network_alpha"):
        return None
    return Advice(
        f"`network_alpha` is {config.alpha:g} with `network_dim` {config.network_dim}: this multiplies "
        "what is "
        f"learned by {config.alpha / config.network_dim:.3g}, like a higher learning rate.",
        "Use at most `network_dim`; half of it is usual.",
        change(network_alpha=config.network_dim / 2),
    )


@rule(Severity.WARNING, "conv_alpha", "conv_dim")
def conv_alpha_above_rank(now: Situation) -> Advice | None:
    """Alpha above the rank acts as a higher learning rate, for convolutions too."""
    config = now.config
    if (
        not config.conv_dim
        or config.alpha_of_convolutions <= config.conv_dim
        or not now.type_reads("conv_alpha")
    ):
        return None
    times = config.alpha_of_convolutions / config.conv_dim
    return Advice(
        f"`conv_alpha` is {config.conv_alpha:g} with `conv_dim` {config.conv_dim}: this multiplies what "
        f"convolutions learn by {times:.3g}, like a higher learning rate.",
        "Use at most `conv_dim`; half of it is usual.",
        change(conv_alpha=config.conv_dim / 2),
    )


@rule(Severity.WARNING, "conv_dim")
def high_conv_rank(now: Situation) -> Advice | None:
    """Convolutions of a high rank are large."""
    if now.config.conv_dim <= 512 or not now.type_reads("conv_dim") or not now.has_convolutions:
        return None
    return Advice(
        f"`conv_dim` is {now.config.conv_dim}: convolutions of such a rank take more memory than the layers "
        "they adapt.",
        "4 to 64 is usual.",
        change(conv_dim=32),
    )


@rule(Severity.ERROR, "continue_from_lora", "resume")
def two_beginnings(now: Situation) -> Advice | None:
    """A state holds weights already."""
    if not (now.config.continue_from_lora and now.config.resume):
        return None
    return Advice(
        "`continue_from_lora` and `resume` are both set: the state would replace the weights of the file.",
        "Keep `resume` to go on with an interrupted run, `continue_from_lora` to begin a new one.",
        change(continue_from_lora=None),
    )


@rule(Severity.ERROR, "continue_from_lora")
def no_lora_file(now: Situation) -> Advice | None:
    """Only weight files can be continued from."""
    path = now.config.continue_from_lora
    if not path or path.lower().endswith(_LORA_FILES):
        return None
    return Advice(
        f"`continue_from_lora` is {path!r}, but a LoRA file ends with .safetensors, .pt or .ckpt.",
        "Choose the file itself; a state folder belongs into `resume`.",
    )
