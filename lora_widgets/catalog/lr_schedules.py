"""The learning-rate schedules as pure functions: step and shape in, multiplier of the base rate out.

A pure function of the step needs no state, so a resumed run continues the curve exactly and the curve can be
drawn without training. The formulas are those of ``transformers.optimization`` and ``diffusers.optimization``
with the arguments that sd-scripts passes (``get_scheduler_fix``), clamped after the last step.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

POLYNOMIAL_END_RATE = 1e-7
DEFAULT_TIMESCALE = 10_000


@dataclass(frozen=True)
class ScheduleShape:
    """What a schedule may depend on; all lengths in optimizer steps.

    ``min_ratio`` is the lowest rate as a share of the base rate, ``timescale`` 0 means "the warm-up, or
    10,000 steps", ``base_lr`` matters only to schedules that end at an absolute rate.
    """

    total: int
    warmup: int = 0
    cycles: int = 1
    power: float = 1.0
    min_ratio: float = 0.0
    decay_steps: int = 0
    timescale: int = 0
    args: Mapping[str, object] = field(default_factory=dict[str, object])
    base_lr: float = 1.0


@dataclass(frozen=True)
class ScheduleRow:
    """One schedule; ``factor(step, shape)`` takes the 0-based step.

    ``reads`` names the settings it uses, ``arguments`` what it finds in ``lr_scheduler_args``.
    """

    name: str
    summary: str
    factor: Callable[[int, ScheduleShape], float]
    reads: frozenset[str] = frozenset()
    warms_up: bool = True
    arguments: frozenset[str] = frozenset()


def number(args: Mapping[str, object], name: str, *, default: float) -> float:
    """Read a number from the extra arguments; ``default`` where it is absent or no number."""
    value = args.get(name, default)
    return float(value) if isinstance(value, int | float) else default


def step_rules(text: str) -> tuple[tuple[tuple[int, float], ...], float]:
    """Parse "1:200,0.5:600,0.1" into ((200, 1.0), (600, 0.5)) and the last factor 0.1.

    Raises:
        ValueError: a part is not "factor:step", or the factor for the rest is missing.
    """
    *pairs, last = [part.strip() for part in text.split(",")]
    until: list[tuple[int, float]] = []
    for pair in pairs:
        factor, colon, step = pair.partition(":")
        if not colon:
            raise ValueError(f"{pair!r} is not of the form factor:step")
        until.append((int(step), _rule_factor(factor)))
    return tuple(sorted(until)), _rule_factor(last)


def _rule_factor(text: str) -> float:
    factor = float(text)
    if not (math.isfinite(factor) and factor >= 0):
        raise ValueError(f"{text!r} is not a factor of at least 0")
    return factor


def _progress(step: int, shape: ScheduleShape) -> float:
    """Share of the span after warm-up that is done, in [0, 1]."""
    return _share(step - shape.warmup, shape.total - shape.warmup)


def _share(part: int, whole: int) -> float:
    return min(1.0, max(0.0, part / max(1, whole)))


def _ramp(step: int, shape: ScheduleShape) -> float | None:
    """Warm-up factor rising linearly from 0, or None when warm-up is over."""
    return step / shape.warmup if step < shape.warmup else None


def _half_cosine(progress: float) -> float:
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))


def _constant(_step: int, _shape: ScheduleShape) -> float:
    return 1.0


def _constant_with_warmup(step: int, shape: ScheduleShape) -> float:
    ramp = _ramp(step, shape)
    return 1.0 if ramp is None else ramp


def _linear(step: int, shape: ScheduleShape) -> float:
    ramp = _ramp(step, shape)
    return 1.0 - _progress(step, shape) if ramp is None else ramp


def _cosine(step: int, shape: ScheduleShape) -> float:
    ramp = _ramp(step, shape)
    return _half_cosine(_progress(step, shape)) if ramp is None else ramp


def _cosine_with_restarts(step: int, shape: ScheduleShape) -> float:
    ramp = _ramp(step, shape)
    if ramp is not None:
        return ramp
    progress = _progress(step, shape)
    return 0.0 if progress >= 1.0 else _half_cosine((shape.cycles * progress) % 1.0)


def _polynomial(step: int, shape: ScheduleShape) -> float:
    ramp = _ramp(step, shape)
    if ramp is not None:
        return ramp
    end = min(1.0, POLYNOMIAL_END_RATE / shape.base_lr) if shape.base_lr > 0 else 0.0
    return float(end + (1.0 - end) * (1.0 - _progress(step, shape)) ** shape.power)


def _inverse_sqrt(step: int, shape: ScheduleShape) -> float:
    ramp = _ramp(step, shape)
    if ramp is not None:
        return ramp
    timescale = shape.timescale or shape.warmup or DEFAULT_TIMESCALE
    since_warmup = max(0, min(step, shape.total) - shape.warmup)
    return math.sqrt(timescale / (timescale + since_warmup))


def _cosine_with_min_lr(step: int, shape: ScheduleShape) -> float:
    ramp = _ramp(step, shape)
    if ramp is not None:
        return ramp
    wave = _half_cosine(shape.cycles * _progress(step, shape))
    return shape.min_ratio + (1.0 - shape.min_ratio) * wave


def _cosine_warmup_with_min_lr(step: int, shape: ScheduleShape) -> float:
    start = shape.args.get("warmup_lr_rate")
    if step < shape.warmup:
        if isinstance(start, int | float):
            return start + (1.0 - start) * step / max(1, shape.warmup - 1)
        return (step + 1) / shape.warmup
    wave = _half_cosine(shape.cycles * _progress(step + 1, shape))
    return shape.min_ratio + (1.0 - shape.min_ratio) * wave


def _warmup_stable_decay(step: int, shape: ScheduleShape) -> float:
    ramp = _ramp(step, shape)
    if ramp is not None:
        return ramp
    decay_start = max(shape.warmup, shape.total - shape.decay_steps)
    if step < decay_start:
        return 1.0
    if step >= shape.total:
        return shape.min_ratio
    wave = _half_cosine(shape.cycles * (step - decay_start) / (shape.total - decay_start))
    return shape.min_ratio + (1.0 - shape.min_ratio) * wave


def _piecewise_constant(step: int, shape: ScheduleShape) -> float:
    until, last = step_rules(str(shape.args.get("step_rules", "1")))
    return next((factor for end, factor in until if step < end), last)


def _rex(step: int, shape: ScheduleShape) -> float:
    depth = number(shape.args, "d", default=0.9)
    return _in_cycles(step, shape, lambda p: (1.0 - p) / (1.0 - depth + depth * (1.0 - p)))


def _cosine_annealing(step: int, shape: ScheduleShape) -> float:
    return _in_cycles(step, shape, _half_cosine)


def _in_cycles(step: int, shape: ScheduleShape, curve: Callable[[float], float]) -> float:
    """Run ``curve`` (1 at 0, 0 at 1) once per cycle, each with its share of the warm-up, lower by gamma."""
    cycles = max(1, min(shape.cycles, shape.total))
    index = min(cycles - 1, step * cycles // max(1, shape.total))
    start, end = (-(-i * shape.total // cycles) for i in (index, index + 1))
    warmup, since = min(shape.warmup // cycles, end - start), step - start
    peak = number(shape.args, "gamma", default=1.0) ** index
    if since < warmup:
        return since / warmup * peak
    low = number(shape.args, "min_lr", default=1e-6) / shape.base_lr if shape.base_lr > 0 else 0.0
    low = min(low, peak)
    return low + (peak - low) * curve(_share(since - warmup, end - start - warmup))


_CYCLES = frozenset({"lr_scheduler_number"})
_FLOOR = frozenset({"lr_scheduler_number", "lr_scheduler_min_lr_ratio"})
_ARGS = frozenset({"lr_scheduler_args"})

_ROWS = (
    ScheduleRow("constant", "The same rate throughout, without warm-up.", _constant, warms_up=False),
    ScheduleRow("constant_with_warmup", "Warm-up, then the same rate.", _constant_with_warmup),
    ScheduleRow("linear", "Warm-up, then a straight line down to 0.", _linear),
    ScheduleRow("cosine", "Warm-up, then half a cosine down to 0.", _cosine),
    ScheduleRow(
        "cosine_with_restarts",
        "Several cosines, each from the full rate to 0.",
        _cosine_with_restarts,
        _CYCLES,
    ),
    ScheduleRow("polynomial", "A power curve down to 1e-7.", _polynomial, frozenset({"lr_power"})),
    ScheduleRow(
        "adafactor",
        "Leaves the rate to Adafactor, which finds it itself.",
        _constant,
        warms_up=False,
    ),
    ScheduleRow(
        "inverse_sqrt",
        "Falls with the square root of the steps, never reaching 0.",
        _inverse_sqrt,
        frozenset({"lr_scheduler_timescale"}),
    ),
    ScheduleRow("cosine_with_min_lr", "A cosine down to a lowest rate.", _cosine_with_min_lr, _FLOOR),
    ScheduleRow(
        "cosine_warmup_with_min_lr",
        "A cosine down to a lowest rate, with a warm-up that does not begin at 0.",
        _cosine_warmup_with_min_lr,
        _FLOOR | _ARGS,
        arguments=frozenset({"warmup_lr_rate"}),
    ),
    ScheduleRow(
        "warmup_stable_decay",
        "The full rate for most of the run, then a cosine down over lr_decay_steps.",
        _warmup_stable_decay,
        _FLOOR | {"lr_decay_steps"},
    ),
    ScheduleRow(
        "piecewise_constant",
        "Factors by step, from lr_scheduler_args: step_rules=1:200,0.5:600,0.1.",
        _piecewise_constant,
        _ARGS,
        warms_up=False,
        arguments=frozenset({"step_rules"}),
    ),
    ScheduleRow(
        "rex",
        "Stays high for long, then falls fast; in cycles.",
        _rex,
        _CYCLES | _ARGS,
        arguments=frozenset({"gamma", "d", "min_lr"}),
    ),
    ScheduleRow(
        "cosine_annealing",
        "A cosine per cycle, each lower by gamma.",
        _cosine_annealing,
        _CYCLES | _ARGS,
        arguments=frozenset({"gamma", "min_lr"}),
    ),
)

LR_SCHEDULES: dict[str, ScheduleRow] = {row.name: row for row in _ROWS}


def schedules_reading(setting: str) -> tuple[str, ...]:
    """Name the schedules on which ``setting`` has an effect."""
    return tuple(row.name for row in _ROWS if setting in row.reads)
