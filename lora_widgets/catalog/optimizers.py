"""The optimizers: where each class lives, which package brings it, and what to know before choosing it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_ADAM: Mapping[str, object] = {"betas": (0.9, 0.999), "eps": 1e-8}
_LION: Mapping[str, object] = {"betas": (0.9, 0.99)}
_ONE_RATE = (
    "Its learning rate is a multiplier: set unet_lr and text_encoder_lr both to 1.0, or the latter to 0."
)
_LION_RATE = "Wants learning rates 3 to 10 times lower than AdamW: 3e-5 to 1e-4."


@dataclass(frozen=True)
class OptimizerRow:
    """One optimizer.

    ``defaults`` are the keyword arguments of the class beside the learning rate and the weight decay;
    ``arguments`` are the further names that ``optimizer_args`` may give. ``adaptive``: it finds its own
    learning rate, and the settings are multipliers of it. ``state_bytes`` is what it keeps for each weight it
    updates; small tensors of the 8-bit ones keep 32 bits, which is not counted.
    """

    name: str
    import_path: str
    package: str
    advice: str
    defaults: Mapping[str, object] = field(default_factory=dict[str, object])
    arguments: frozenset[str] = frozenset()
    adaptive: bool = False
    active: bool = False
    aliases: tuple[str, ...] = ()
    state_bytes: float = 8.0


_ROWS = (
    OptimizerRow(
        name="AdamW",
        import_path="torch.optim.AdamW",
        package="torch",
        advice="The reference: exact and robust, two 32-bit values of state per weight.",
        defaults=_ADAM,
        arguments=frozenset(
            {"betas", "eps", "amsgrad", "maximize", "foreach", "capturable", "differentiable", "fused"}
        ),
        active=True,
    ),
    OptimizerRow(
        name="AdamW8bit",
        import_path="bitsandbytes.optim.AdamW8bit",
        package="bitsandbytes",
        advice="AdamW with 8-bit state: a quarter of the optimizer's memory, practically the same result.",
        defaults=_ADAM,
        arguments=frozenset({"betas", "eps", "min_8bit_size"}),
        active=True,
        state_bytes=2.0,
    ),
    OptimizerRow(
        name="PagedAdamW",
        import_path="bitsandbytes.optim.PagedAdamW",
        package="bitsandbytes",
        advice="AdamW whose state moves to main memory when the GPU runs full.",
        defaults=_ADAM,
    ),
    OptimizerRow(
        name="PagedAdamW8bit",
        import_path="bitsandbytes.optim.PagedAdamW8bit",
        package="bitsandbytes",
        advice="AdamW8bit whose state moves to main memory when the GPU runs full.",
        defaults=_ADAM,
        state_bytes=2.0,
    ),
    OptimizerRow(
        name="PagedAdamW32bit",
        import_path="bitsandbytes.optim.PagedAdamW32bit",
        package="bitsandbytes",
        advice="AdamW with 32-bit state that moves to main memory when the GPU runs full.",
        defaults=_ADAM,
    ),
    OptimizerRow(
        name="Lion",
        import_path="lion_pytorch.Lion",
        package="lion-pytorch",
        advice=_LION_RATE,
        defaults=_LION,
        state_bytes=4.0,
    ),
    OptimizerRow(
        name="Lion8bit",
        import_path="bitsandbytes.optim.Lion8bit",
        package="bitsandbytes",
        advice=_LION_RATE,
        defaults=_LION,
        state_bytes=1.0,
    ),
    OptimizerRow(
        name="PagedLion8bit",
        import_path="bitsandbytes.optim.PagedLion8bit",
        package="bitsandbytes",
        advice=_LION_RATE,
        defaults=_LION,
        state_bytes=1.0,
    ),
    OptimizerRow(
        name="SGDNesterov",
        import_path="torch.optim.SGD",
        package="torch",
        advice="Plain gradient descent with momentum; needs much higher learning rates than AdamW.",
        defaults={"momentum": 0.9, "nesterov": True},
        state_bytes=4.0,
    ),
    OptimizerRow(
        name="SGDNesterov8bit",
        import_path="bitsandbytes.optim.SGD8bit",
        package="bitsandbytes",
        advice="Gradient descent with 8-bit momentum; needs much higher learning rates than AdamW.",
        defaults={"momentum": 0.9, "nesterov": True},
        state_bytes=1.0,
    ),
    OptimizerRow(
        name="DAdaptation",
        import_path="dadaptation.experimental.DAdaptAdamPreprint",
        package="dadaptation",
        advice=_ONE_RATE,
        adaptive=True,
        aliases=("DAdaptAdamPreprint",),
        state_bytes=12.0,
    ),
    OptimizerRow(
        name="DAdaptAdam",
        import_path="dadaptation.DAdaptAdam",
        package="dadaptation",
        advice=_ONE_RATE,
        adaptive=True,
        state_bytes=12.0,
    ),
    OptimizerRow(
        name="DAdaptAdaGrad",
        import_path="dadaptation.DAdaptAdaGrad",
        package="dadaptation",
        advice=_ONE_RATE + " Starts slowly.",
        defaults={"eps": 1e-6},
        adaptive=True,
        state_bytes=16.0,
    ),
    OptimizerRow(
        name="DAdaptAdan",
        import_path="dadaptation.DAdaptAdan",
        package="dadaptation",
        advice=_ONE_RATE,
        defaults={"betas": (0.98, 0.92, 0.99)},
        adaptive=True,
        state_bytes=20.0,
    ),
    OptimizerRow(
        name="DAdaptSGD",
        import_path="dadaptation.DAdaptSGD",
        package="dadaptation",
        advice=_ONE_RATE,
        adaptive=True,
        state_bytes=12.0,
    ),
    OptimizerRow(
        name="DAdaptLion",
        import_path="dadaptation.DAdaptLion",
        package="dadaptation",
        advice=_ONE_RATE,
        defaults=_LION,
        adaptive=True,
    ),
    OptimizerRow(
        name="Prodigy",
        import_path="prodigyopt.Prodigy",
        package="prodigyopt",
        advice=_ONE_RATE + " With warm-up add safeguard_warmup=True.",
        defaults={"betas": (0.9, 0.999), "decouple": True},
        adaptive=True,
        state_bytes=16.0,
    ),
    OptimizerRow(
        name="Adafactor",
        import_path="transformers.optimization.Adafactor",
        package="transformers",
        advice="Little state. Schedules itself (relative_step) unless a fixed rate is asked for.",
        defaults={"relative_step": True, "scale_parameter": True},
        adaptive=True,
        state_bytes=0.5,
    ),
    OptimizerRow(
        name="CAME",
        import_path="pytorch_optimizer.CAME",
        package="pytorch-optimizer",
        advice="As little state as Adafactor, steadier; learning rates as for AdamW or lower.",
        defaults={"betas": (0.9, 0.999, 0.9999)},
        state_bytes=4.5,
    ),
    OptimizerRow(
        name="AdamWScheduleFree",
        import_path="schedulefree.AdamWScheduleFree",
        package="schedulefree",
        advice="Needs no learning-rate schedule; lr_scheduler is ignored.",
        defaults=_ADAM,
    ),
    OptimizerRow(
        name="RAdamScheduleFree",
        import_path="schedulefree.RAdamScheduleFree",
        package="schedulefree",
        advice="Needs neither schedule nor warm-up; lr_scheduler is ignored.",
        defaults=_ADAM,
    ),
    OptimizerRow(
        name="SGDScheduleFree",
        import_path="schedulefree.SGDScheduleFree",
        package="schedulefree",
        advice="Needs no learning-rate schedule; lr_scheduler is ignored.",
        defaults={"momentum": 0.9},
        state_bytes=4.0,
    ),
)

OPTIMIZERS: dict[str, OptimizerRow] = {row.name: row for row in _ROWS}
