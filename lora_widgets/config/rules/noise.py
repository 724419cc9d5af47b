"""Rules about noise and loss."""

from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule


@rule(Severity.WARNING, "min_snr_gamma")
def low_snr_gamma(now: Situation) -> Advice | None:
    """A cap below 1 weights nearly every step down."""
    gamma = now.config.snr_gamma
    if gamma is None or gamma >= 1:
        return None
    return Advice(
        f"`min_snr_gamma` is {gamma:g}: nearly all steps of noise then count for little.",
        "5 is usual.",
        change(min_snr_gamma=5.0),
    )


@rule(Severity.WARNING, "zero_terminal_snr", "model_type")
def zero_terminal_for_noise_models(now: Situation) -> Advice | None:
    """With noise prediction, a last step without any picture teaches nothing."""
    if not now.config.zero_terminal_snr:
        return None
    return Advice(
        "`zero_terminal_snr` is only for base models that predict v and were trained so; others cannot learn "
        "from their last steps of noise with it. The original SD1.5 and SDXL are not such models.",
        "Turn it off unless the model's page asks for it.",
        change(zero_terminal_snr=False),
    )


@rule(Severity.WARNING, "adaptive_noise_scale", "noise_offset")
def adaptive_without_offset(now: Situation) -> Advice | None:
    """The adaptive part only enlarges an offset."""
    if now.config.adaptive_noise_scale == 0 or now.config.noise_offset > 0:
        return None
    return Advice(
        f"`adaptive_noise_scale` is {now.config.adaptive_noise_scale:g}, but `noise_offset` is 0: it has "
        "no effect.",
        "Set `noise_offset` to 0.05, or `adaptive_noise_scale` to 0.",
        change(noise_offset=0.05),
    )


@rule(Severity.WARNING, "ip_noise_gamma")
def strong_perturbation(now: Situation) -> Advice | None:
    """Much extra noise blurs."""
    gamma = now.config.ip_gamma
    if gamma is None or gamma <= 0.3:
        return None
    return Advice(
        f"`ip_noise_gamma` is {gamma:g}: so much extra noise blurs the pictures.",
        "0.05 to 0.1 is usual.",
        change(ip_noise_gamma=0.05),
    )


@rule(Severity.NOTE, "ip_noise_gamma", "ip_noise_gamma_enabled")
def perturbation_of_nothing(now: Situation) -> Advice | None:
    """Switched on with a strength of 0."""
    if not (now.config.ip_noise_gamma_enabled and now.config.ip_noise_gamma == 0):
        return None
    return Advice("`ip_noise_gamma_enabled` has no effect: `ip_noise_gamma` is 0.", "0.05 to 0.1 is usual.")


@rule(Severity.WARNING, "noise_offset", "multinoise")
def two_noise_shapes(now: Situation) -> Advice | None:
    """Multi-resolution noise is scaled back after the offset was added."""
    if not (now.config.noise_offset > 0 and now.config.multinoise):
        return None
    return Advice(
        "`noise_offset` and `multinoise` both act: the offset is added first and then weakened again.",
        "Use one of the two.",
        change(noise_offset=0.0),
    )


@rule(Severity.WARNING, "noise_offset")
def strong_offset(now: Situation) -> Advice | None:
    """A large offset gives unnatural contrast."""
    if now.config.noise_offset <= 0.2:
        return None
    return Advice(
        f"`noise_offset` is {now.config.noise_offset:g}: pictures become unnaturally dark or bright.",
        "At most 0.1 is usual.",
        change(noise_offset=0.05),
    )
