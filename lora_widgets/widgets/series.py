"""Prepare measured values for drawing: smoothing, thinning, ranges and ticks. Plain numbers in and out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """The lowest and highest value around position ``x``."""

    x: float
    low: float
    high: float


def half_life(count: int) -> float:
    """Return how many steps smoothing ``count`` values should remember: a twentieth, between 4 and 50."""
    return min(50.0, max(4.0, count / 20))


def smooth(values: Sequence[float], half_life: float) -> list[float]:
    """Return the exponential moving average, free of the bias towards its start; same length.

    Values that are not finite leave the average as it was; before the first finite one it is NaN.
    """
    keep = 0.5 ** (1 / half_life)
    total = weight = 0.0
    smoothed: list[float] = []
    for value in values:
        if math.isfinite(value):
            total = keep * total + (1 - keep) * value
            weight = keep * weight + (1 - keep)
        smoothed.append(total / weight if weight else math.nan)
    return smoothed


def spans(xs: Sequence[float], ys: Sequence[float], *, count: int) -> list[Span]:
    """Return at most ``count`` spans which together cover every finite value, in order of ``x``."""
    size = max(1, math.ceil(len(ys) / count))
    found: list[Span] = []
    for start in range(0, len(ys), size):
        part = [y for y in ys[start : start + size] if math.isfinite(y)]
        if part:
            middle = min(start + size // 2, len(xs) - 1)
            found.append(Span(xs[middle], min(part), max(part)))
    return found


def thin(xs: Sequence[float], ys: Sequence[float], *, count: int) -> list[tuple[float, float]]:
    """Return at most ``count`` of the finite points, evenly chosen, with the first and the last."""
    points = [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(y)]
    if len(points) <= count:
        return points
    last = len(points) - 1
    return [points[round(i * last / (count - 1))] for i in range(count)]


def value_range(values: Sequence[float], *, always: Sequence[float] = ()) -> tuple[float, float]:
    """Return the range to draw: all but the outermost hundredth of ``values``, and all of ``always``.

    One wild loss would otherwise flatten the whole curve. Never empty: a constant gets room around it.
    """
    finite = sorted(v for v in values if math.isfinite(v))
    cut = len(finite) // 100
    inner = finite[cut : len(finite) - cut] + [v for v in always if math.isfinite(v)]
    if not inner:
        return 0.0, 1.0
    low, high = min(inner), max(inner)
    room = 0.06 * (high - low) or abs(high) * 0.5 or 1.0
    return (max(0.0, low - room) if low >= 0 else low - room), high + room


def ticks(low: float, high: float, *, count: int, whole: bool = False) -> list[float]:
    """Return about ``count`` round values within [low, high]: 1, 2 or 5 times a power of ten apart.

    Args:
        low: lower end of the axis.
        high: upper end, above ``low``.
        count: how many ticks to aim for.
        whole: keep to whole numbers (steps).
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    gap = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    if whole:
        gap = max(1.0, gap)
    first = math.ceil(low / gap - 1e-9)
    last = math.floor(high / gap + 1e-9)
    return [index * gap for index in range(first, last + 1)]


def label(value: float) -> str:
    """Return a short text for a number on an axis: 0.05, 1500, 1e-04."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        return f"{round(value, 10):.4g}" if abs(value) < 1000 else f"{value:.0f}"
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}"
