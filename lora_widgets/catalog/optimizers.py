"""The optimizers: where each class lives, which package brings it, and what to know before choosing it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lora_widgets.catalog.optimizer_arguments import (
    ANY_NUMBER,
    BETAS,
    COUNT,
    FLAG,
    NUMBER,
    POSITIVE,
    SHARE,
    SMALL,
    THREE_BETAS,
    TWO_SMALL,
    Kind,
    or_none,
)

Rates = Literal["absolute", "multiplier", "one multiplier", "ratio ignored"]


@dataclass(frozen=True)
class OptimizerRow:
    """One optimizer.

    ``arguments`` are what ``optimizer_args`` may give beside the learning rate and the weight decay, and
    ``defaults`` what we give unasked. ``rates`` says what the learning rates of the settings mean to it:
    values, or multipliers of a rate that it finds itself, of which some optimizers take one for everything
    and others ignore all but the largest. ``usual`` are the rates from which and to which an adapter
    learns well. ``averages``: it trains at one point and promises another, the
    average, so that rates need not fall (schedule-free). ``relative``: it finds its steps itself while the
    argument of that name is on. ``for_matrices``: a key that tells it which groups hold matrices.
    ``state_bytes`` is what it keeps for each weight that it updates; small tensors of the 8-bit ones keep 32
    bits, which is not counted.
    """

    name: str
    import_path: str
    package: str
    advice: str
    arguments: Mapping[str, Kind]
    defaults: Mapping[str, object] = field(default_factory=dict[str, object])
    rates: Rates = "absolute"
    averages: bool = False
    relative: str = ""
    for_matrices: str = ""
    usual: tuple[float, float] = (1e-4, 5e-4)
    aliases: tuple[str, ...] = ()
    state_bytes: float = 8.0

    @property
    def adaptive(self) -> bool:
        """Whether it finds its own learning rate, so that the settings are no rates but multipliers."""
        return self.rates != "absolute"


_ADAM: Mapping[str, object] = {"betas": (0.9, 0.999), "eps": 1e-8}
_LION: Mapping[str, object] = {"betas": (0.9, 0.99)}
_NESTEROV: Mapping[str, object] = {"momentum": 0.9, "nesterov": True}
_ADAM_ARGUMENTS = {"betas": BETAS, "eps": SMALL}
_TORCH = {"foreach": FLAG, "fused": FLAG}
_EIGHT_BIT = {"min_8bit_size": COUNT}
_DADAPT = {"d0": POSITIVE, "growth_rate": POSITIVE}
_SCHEDULE_FREE = {"r": NUMBER, "weight_lr_power": NUMBER, "foreach": FLAG}

_LION_USUAL = (3e-5, 1e-4)
_SGD_USUAL = (0.1, 1.0)
_MULTIPLIER = (1.0, 1.0)

_ONE_RATE = "Finds its learning rate itself: set unet_lr and text_encoder_lr both to 1.0, or the latter to 0."
_IGNORES_RATIO = "Finds one learning rate for everything itself: set unet_lr and text_encoder_lr to 1.0."
_LION_RATE = "Wants learning rates 3 to 10 times lower than AdamW: 3e-5 to 1e-4."
_NO_SCHEDULE = "Needs no falling learning rate: of lr_scheduler only the warm-up acts."


_ROWS = (
    OptimizerRow(
        name="AdamW",
        import_path="torch.optim.AdamW",
        package="torch",
        advice="The reference: exact and robust, two 32-bit values of state per weight.",
        arguments={**_ADAM_ARGUMENTS, **_TORCH, "amsgrad": FLAG},
        defaults=_ADAM,
    ),
    OptimizerRow(
        name="AdamW8bit",
        import_path="bitsandbytes.optim.AdamW8bit",
        package="bitsandbytes",
        advice="AdamW with 8-bit state: a quarter of the optimizer's memory, practically the same result.",
        arguments=_ADAM_ARGUMENTS | _EIGHT_BIT,
        defaults=_ADAM,
        state_bytes=2.0,
    ),
    OptimizerRow(
        name="PagedAdamW",
        import_path="bitsandbytes.optim.PagedAdamW",
        package="bitsandbytes",
        advice="AdamW whose state moves to main memory when the GPU runs full.",
        arguments=_ADAM_ARGUMENTS,
        defaults=_ADAM,
    ),
    OptimizerRow(
        name="PagedAdamW8bit",
        import_path="bitsandbytes.optim.PagedAdamW8bit",
        package="bitsandbytes",
        advice="AdamW8bit whose state moves to main memory when the GPU runs full.",
        arguments=_ADAM_ARGUMENTS | _EIGHT_BIT,
        defaults=_ADAM,
        state_bytes=2.0,
    ),
    OptimizerRow(
        name="PagedAdamW32bit",
        import_path="bitsandbytes.optim.PagedAdamW32bit",
        package="bitsandbytes",
        advice="AdamW with 32-bit state that moves to main memory when the GPU runs full.",
        arguments=_ADAM_ARGUMENTS,
        defaults=_ADAM,
    ),
    OptimizerRow(
        name="Lion",
        import_path="lion_pytorch.Lion",
        package="lion-pytorch",
        advice=_LION_RATE,
        arguments={"betas": BETAS, "decoupled_weight_decay": FLAG},
        defaults=_LION,
        usual=_LION_USUAL,
        state_bytes=4.0,
    ),
    OptimizerRow(
        name="Lion8bit",
        import_path="bitsandbytes.optim.Lion8bit",
        package="bitsandbytes",
        advice=_LION_RATE,
        arguments={"betas": BETAS, **_EIGHT_BIT},
        defaults=_LION,
        usual=_LION_USUAL,
        state_bytes=1.0,
    ),
    OptimizerRow(
        name="PagedLion8bit",
        import_path="bitsandbytes.optim.PagedLion8bit",
        package="bitsandbytes",
        advice=_LION_RATE,
        arguments={"betas": BETAS, **_EIGHT_BIT},
        defaults=_LION,
        usual=_LION_USUAL,
        state_bytes=1.0,
    ),
    OptimizerRow(
        name="SGDNesterov",
        import_path="torch.optim.SGD",
        package="torch",
        advice="Plain gradient descent with momentum; needs much higher learning rates than AdamW.",
        arguments={"momentum": SHARE, "nesterov": FLAG, **_TORCH},
        defaults=_NESTEROV,
        usual=_SGD_USUAL,
        state_bytes=4.0,
    ),
    OptimizerRow(
        name="SGDNesterov8bit",
        import_path="bitsandbytes.optim.SGD8bit",
        package="bitsandbytes",
        advice="Gradient descent with 8-bit momentum; needs much higher learning rates than AdamW.",
        arguments={"momentum": SHARE, "nesterov": FLAG, **_EIGHT_BIT},
        defaults=_NESTEROV,
        usual=_SGD_USUAL,
        state_bytes=1.0,
    ),
    OptimizerRow(
        name="DAdaptation",
        import_path="dadaptation.experimental.DAdaptAdamPreprint",
        package="dadaptation",
        advice=_ONE_RATE + " Lower both to 0.1 if pictures fall apart.",
        arguments={**_ADAM_ARGUMENTS, **_DADAPT, "decouple": FLAG},
        # Decay as in AdamW: inside the gradient it would blur the distance that is being estimated.
        defaults={**_ADAM, "decouple": True},
        rates="one multiplier",
        usual=_MULTIPLIER,
        aliases=("DAdaptAdamPreprint",),
        state_bytes=12.0,
    ),
    OptimizerRow(
        name="DAdaptAdam",
        import_path="dadaptation.DAdaptAdam",
        package="dadaptation",
        advice=_ONE_RATE + " Lower both to 0.1 if pictures fall apart.",
        arguments={**_ADAM_ARGUMENTS, **_DADAPT, "decouple": FLAG, "use_bias_correction": FLAG},
        defaults={**_ADAM, "decouple": True},
        rates="one multiplier",
        usual=_MULTIPLIER,
        state_bytes=12.0,
    ),
    OptimizerRow(
        name="DAdaptAdaGrad",
        import_path="dadaptation.DAdaptAdaGrad",
        package="dadaptation",
        advice=_IGNORES_RATIO + " Starts slowly.",
        arguments={"momentum": SHARE, "eps": SMALL, **_DADAPT},
        defaults={"eps": 1e-6},
        rates="ratio ignored",
        usual=_MULTIPLIER,
        state_bytes=16.0,
    ),
    OptimizerRow(
        name="DAdaptAdan",
        import_path="dadaptation.DAdaptAdan",
        package="dadaptation",
        advice="Finds one learning rate for everything itself, a large one: set both learning rates to 0.3.",
        arguments={"betas": THREE_BETAS, "eps": SMALL, "no_prox": FLAG, **_DADAPT},
        defaults={"betas": (0.98, 0.92, 0.99)},
        rates="ratio ignored",
        # The demo falls apart at 1.0, learns its subject at 0.3, and has not begun to at 0.1.
        usual=(0.3, 0.3),
        state_bytes=20.0,
    ),
    OptimizerRow(
        name="DAdaptSGD",
        import_path="dadaptation.DAdaptSGD",
        package="dadaptation",
        advice="Like DAdaptAdam without its memory, and easily too fast: set both learning rates to 0.1.",
        arguments={"momentum": SHARE, **_DADAPT},
        rates="one multiplier",
        # At 1.0 it overshoots: an adapter begins where gradients are small, and they grow as it leaves.
        usual=(0.1, 0.1),
        state_bytes=12.0,
    ),
    OptimizerRow(
        name="DAdaptLion",
        import_path="dadaptation.DAdaptLion",
        package="dadaptation",
        advice=_ONE_RATE,
        arguments={"betas": BETAS, "d0": POSITIVE},
        defaults=_LION,
        rates="one multiplier",
        usual=_MULTIPLIER,
    ),
    OptimizerRow(
        name="Prodigy",
        import_path="prodigyopt.Prodigy",
        package="prodigyopt",
        advice=_ONE_RATE,
        arguments={
            **_ADAM_ARGUMENTS,
            **_DADAPT,
            "beta3": or_none(SHARE),
            "d_coef": POSITIVE,
            "decouple": FLAG,
            "safeguard_warmup": FLAG,
            "slice_p": COUNT,
            "use_bias_correction": FLAG,
        },
        # Without the correction the first steps of an adapter are too long, and Prodigy keeps the rate that
        # it concludes from them: the demo's adapter then falls apart.
        defaults={
            "betas": (0.9, 0.999),
            "decouple": True,
            "use_bias_correction": True,
            "safeguard_warmup": True,
        },
        rates="one multiplier",
        usual=_MULTIPLIER,
        state_bytes=16.0,
    ),
    OptimizerRow(
        name="ProdigyPlusScheduleFree",
        import_path="prodigyplus.ProdigyPlusScheduleFree",
        package="prodigy-plus-schedule-free",
        advice="Finds a learning rate for each part itself and needs no schedule: set the rates to 1.0.",
        arguments={
            "betas": BETAS,
            "beta3": or_none(SHARE),
            "eps": or_none(SMALL),
            "d0": POSITIVE,
            "d_coef": POSITIVE,
            "prodigy_steps": COUNT,
            "schedulefree_c": NUMBER,
            **dict.fromkeys(
                (
                    *("d_limiter", "factored", "factored_fp32", "split_groups", "split_groups_mean"),
                    *("use_bias_correction", "use_stableadamw", "use_speed", "use_cautious", "use_grams"),
                    *("use_adopt", "use_orthograd", "use_focus", "weight_decay_by_lr"),
                ),
                FLAG,
            ),
        },
        defaults={"betas": (0.9, 0.99)},
        rates="multiplier",
        usual=_MULTIPLIER,
        averages=True,
        state_bytes=16.0,
    ),
    OptimizerRow(
        name="Adafactor",
        import_path="transformers.optimization.Adafactor",
        package="transformers",
        advice="Little state. Decides its steps itself, well with eps=1e-30,0.05 in optimizer_args; give "
        "relative_step=False scale_parameter=False there to use the learning rates.",
        arguments={
            "eps": TWO_SMALL,
            "clip_threshold": POSITIVE,
            "decay_rate": ANY_NUMBER,
            "beta1": or_none(SHARE),
            "scale_parameter": FLAG,
            "relative_step": FLAG,
            "warmup_init": FLAG,
        },
        defaults={"relative_step": True, "scale_parameter": True, "warmup_init": False},
        relative="relative_step",
        state_bytes=0.5,
    ),
    OptimizerRow(
        name="CAME",
        import_path="pytorch_optimizer.CAME",
        package="pytorch-optimizer",
        advice="As little state as Adafactor. Wants lower learning rates than AdamW: 5e-5 to 2e-4.",
        arguments={
            "betas": THREE_BETAS,
            "clip_threshold": POSITIVE,
            "ams_bound": FLAG,
            "eps1": SMALL,
            "eps2": SMALL,
            "weight_decouple": FLAG,
            "fixed_decay": FLAG,
        },
        defaults={"betas": (0.9, 0.999, 0.9999)},
        usual=(5e-5, 2e-4),
        state_bytes=4.5,
    ),
    OptimizerRow(
        name="Muon",
        import_path="pytorch_optimizer.Muon",
        package="pytorch-optimizer",
        advice="Makes each step of a matrix orthogonal; learning rates as for AdamW. Slower per step.",
        arguments={
            "momentum": SHARE,
            "nesterov": FLAG,
            "ns_steps": COUNT,
            "use_adjusted_lr": FLAG,
            "weight_decouple": FLAG,
        },
        # Steps as long as AdamW's (Liu et al. 2025, arXiv:2502.16982, eq. 4), so that its rates can be kept.
        defaults={"momentum": 0.95, "use_adjusted_lr": True},
        for_matrices="use_muon",
        state_bytes=4.0,
    ),
    OptimizerRow(
        name="AdamWScheduleFree",
        import_path="schedulefree.AdamWScheduleFree",
        package="schedulefree",
        advice=_NO_SCHEDULE,
        arguments=_ADAM_ARGUMENTS | _SCHEDULE_FREE,
        defaults=_ADAM,
        averages=True,
    ),
    OptimizerRow(
        name="RAdamScheduleFree",
        import_path="schedulefree.RAdamScheduleFree",
        package="schedulefree",
        advice=_NO_SCHEDULE + " Begins gently by itself: wants learning rates 3 to 4 times those of AdamW.",
        arguments={**_ADAM_ARGUMENTS, **_SCHEDULE_FREE, "silent_sgd_phase": FLAG},
        defaults=_ADAM,
        averages=True,
        usual=(4e-4, 2e-3),
    ),
    OptimizerRow(
        name="SGDScheduleFree",
        import_path="schedulefree.SGDScheduleFree",
        package="schedulefree",
        advice=_NO_SCHEDULE + " Needs much higher learning rates than AdamW.",
        arguments={"momentum": SHARE, **_SCHEDULE_FREE},
        defaults={"momentum": 0.9},
        averages=True,
        usual=(1.0, 10.0),
        state_bytes=4.0,
    ),
)

OPTIMIZERS: dict[str, OptimizerRow] = {row.name: row for row in _ROWS}
