"""Rules about noise and loss."""

from lora_widgets.config.rules.rule import Advice, Severity, Situation, change, rule


@rule(Severity.WARNING, "min_snr_gamma")
def low_snr_gamma(now: Situation) -> Advice | None:
    """A cap below 1 weights nearly every step down."""
    gamma = now.config.snr_gamma
    if gamma is None or gamma >= 1 or now.is_flow:
        return None
    return Advice(
        f"`min_snr_gamma` is {gamma:g}: nearly all steps of noise then count for little.",
        "5 is usual.",
        change(min_snr_gamma=5.0),
    )


@rule(Severity.WARNING, "zero_terminal_snr", "v_parameterization")
def zero_terminal_for_noise_models(now: Situation) -> Advice | None:
    """With noise prediction, a last step without any picture teaches nothing."""
    if not now.config.zero_terminal_snr or now.config.v_parameterization or now.is_flow:
        return None
    return Advice(
        "`zero_terminal_snr` is only for base models that predict v and were trained so; others cannot learn "
        "from their last steps of noise with it. The original SD1.5 and SDXL are not such models.",
        "Turn it off, or turn `v_parameterization` on too if the model's page asks for both.",
        change(zero_terminal_snr=False),
        (change(v_parameterization=True),),
    )


@rule(Severity.NOTE, "v_parameterization", "zero_terminal_snr")
def v_without_zero_terminal(now: Situation) -> Advice | None:
    """Newer v models want both."""
    if not now.config.v_parameterization or now.config.zero_terminal_snr or now.is_flow:
        return None
    return Advice(
        "Many base models that predict v, such as NoobAI-XL, were trained with zero terminal SNR too.",
        "See what the model's page says.",
        change(zero_terminal_snr=True),
    )


@rule(Severity.ERROR, "v_parameterization", "model_type")
def v_of_flow_models(now: Situation) -> Advice | None:
    """The velocity of flow matching is another one."""
    if not (now.config.v_parameterization and now.is_flow):
        return None
    return Advice(
        f"`v_parameterization` is on, but {now.config.model_type} predicts the velocity of flow matching, "
        "which is something else.",
        "Turn it off.",
        change(v_parameterization=False),
    )


@rule(Severity.ERROR, "scale_v_pred_loss_like_noise_pred", "v_parameterization")
def scaled_v_without_v(now: Situation) -> Advice | None:
    """There is no v loss to scale."""
    config = now.config
    if not config.scale_v_pred_loss_like_noise_pred or config.v_parameterization or now.is_flow:
        return None
    return Advice(
        "`scale_v_pred_loss_like_noise_pred` is on, but it only makes sense where v is predicted, and "
        "`v_parameterization` is off.",
        "Turn it off, or turn `v_parameterization` on if the base model predicts v.",
        change(scale_v_pred_loss_like_noise_pred=False),
        (change(v_parameterization=True),),
    )


@rule(Severity.ERROR, "v_pred_like_loss", "v_parameterization")
def v_like_with_v(now: Situation) -> Advice | None:
    """The loss is a v loss already."""
    if not (now.config.v_pred_like_loss > 0 and now.config.v_parameterization) or now.is_flow:
        return None
    return Advice(
        f"`v_pred_like_loss` is {now.config.v_pred_like_loss:g}, but it is for noise prediction, and "
        "`v_parameterization` is on.",
        "Set `v_pred_like_loss` to 0.",
        change(v_pred_like_loss=0.0),
    )


@rule(Severity.WARNING, "debiased_estimation_loss", "min_snr_gamma_enabled")
def two_weightings(now: Situation) -> Advice | None:
    """Both weight nearly clean pictures down, and the weights multiply."""
    if not (now.config.debiased_estimation_loss and now.config.min_snr_gamma_enabled) or now.is_flow:
        return None
    return Advice(
        "`debiased_estimation_loss` and `min_snr_gamma_enabled` both act: their weights multiply, so that "
        "detail counts for next to nothing.",
        "Use one of the two.",
        change(min_snr_gamma_enabled=False),
        (change(debiased_estimation_loss=False),),
    )


@rule(Severity.ERROR, "min_timestep", "max_timestep")
def timesteps_reversed(now: Situation) -> Advice | None:
    """The first step comes after the end."""
    first, end = now.config.min_timestep, now.config.max_timestep
    if first <= end or now.config.model_type == "Flux":
        return None
    return Advice(
        f"`min_timestep` is {first}, which is above `max_timestep`, {end}: no step of noise is left to "
        "train.",
        "Exchange the two, or set them to 0 and 1000 to train all.",
        change(min_timestep=end, max_timestep=first),
        (change(min_timestep=0, max_timestep=1000),),
    )


@rule(Severity.NOTE, "min_timestep", "max_timestep")
def one_timestep(now: Situation) -> Advice | None:
    """The ends are the same."""
    if now.config.min_timestep != now.config.max_timestep or now.config.model_type == "Flux":
        return None
    return Advice(
        f"`min_timestep` and `max_timestep` are both {now.config.min_timestep}: this is the only step of "
        "noise that is trained.",
        "Set them to 0 and 1000 to train all.",
        change(min_timestep=0, max_timestep=1000),
    )


@rule(Severity.NOTE, "model_type", "min_snr_gamma_enabled")
def snr_of_flow_models(now: Situation) -> Advice | None:
    """Flow matching has no signal-to-noise ratio in its loss; the setting is on where nobody chose it."""
    if not (now.is_flow and now.config.min_snr_gamma_enabled):
        return None
    return Advice(
        f"`min_snr_gamma_enabled` has no effect for {now.config.model_type}, which trains by flow matching.",
        "Leave it, or turn it off.",
        change(min_snr_gamma_enabled=False),
    )


@rule(Severity.WARNING, "adaptive_noise_scale", "noise_offset")
def adaptive_without_offset(now: Situation) -> Advice | None:
    """The adaptive part only enlarges an offset."""
    if now.config.adaptive_noise_scale == 0 or now.config.noise_offset > 0 or now.is_flow:
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
    if gamma is None or gamma <= 0.3 or now.config.model_type == "SD3":
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


@rule(Severity.NOTE, "noise_offset_random_strength", "noise_offset")
def random_strength_of_nothing(now: Situation) -> Advice | None:
    """There is no offset whose strength could vary."""
    if not now.config.noise_offset_random_strength or now.config.noise_offset > 0 or now.is_flow:
        return None
    return Advice(
        "`noise_offset_random_strength` has no effect: `noise_offset` is 0.",
        "Set `noise_offset` to the most it should be, such as 0.1, or turn this off.",
        change(noise_offset_random_strength=False),
    )


@rule(Severity.WARNING, "noise_offset", "multinoise")
def two_noise_shapes(now: Situation) -> Advice | None:
    """Multi-resolution noise is scaled back after the offset was added."""
    if not (now.config.noise_offset > 0 and now.config.multinoise) or now.is_flow:
        return None
    return Advice(
        "`noise_offset` and `multinoise` both act: the offset is added first and then weakened again.",
        "Use one of the two.",
        change(noise_offset=0.0),
    )


@rule(Severity.WARNING, "noise_offset")
def strong_offset(now: Situation) -> Advice | None:
    """A large offset gives unnatural contrast."""
    if now.config.noise_offset <= 0.2 or now.is_flow:
        return None
    return Advice(
        f"`noise_offset` is {now.config.noise_offset:g}: pictures become unnaturally dark or bright.",
        "At most 0.1 is usual.",
        change(noise_offset=0.05),
    )
