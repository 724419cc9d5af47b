"""Charts as SVG text: points in, text out. Colours follow the page's theme, no library draws them.

Thirty times cheaper to make and to send than a picture from matplotlib, which draws the one that is kept
(`picture.py`).
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lora_widgets.widgets.series import half_life, label, smooth, spans, thin, ticks, value_range

MAX_POINTS = 600
RATE_COLOURS = ("var(--lw-rate-1, #e8833a)", "var(--lw-rate-2, #2fa37c)", "var(--lw-rate-3, #a06ee1)")


@dataclass(frozen=True)
class Frame:
    """A drawing area in SVG units and the values it shows; y grows upwards in values, downwards in SVG."""

    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: float = 56.0
    right: float = 18.0
    top: float = 30.0
    bottom: float = 30.0

    def x(self, value: float) -> float:
        """Return where ``value`` lies from the left edge."""
        low, high = self.x_range
        return self.left + (value - low) / (high - low) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Return where ``value`` lies from the top edge; what is out of range is drawn on the border."""
        low, high = self.y_range
        inside = min(max(value, low), high)
        return (
            self.height - self.bottom - (inside - low) / (high - low) * (self.height - self.top - self.bottom)
        )


def loss_chart(steps: Sequence[int], losses: Sequence[float]) -> str:
    """Return the loss over the steps: every value as a faint band, the smoothed course as a strong line."""
    if not steps:
        return empty_chart("Loss", "The loss appears here with the first step.", width=640, height=300)
    smoothed = smooth(losses, half_life(len(losses)))
    frame = Frame(640, 300, _step_range(steps), value_range(losses, always=smoothed))
    band = spans(steps, losses, count=MAX_POINTS // 2)
    line = thin(steps, smoothed, count=MAX_POINTS // 2)
    edge = [(s.x, s.high) for s in band] + [(s.x, s.low) for s in reversed(band)]
    parts = [
        _axes(frame, x_count=6, y_count=5),
        f'<polygon class="lw-band" points="{_points(frame, edge)}"/>',
        f'<polyline class="lw-line lw-loss" points="{_points(frame, line)}"/>',
    ]
    latest = ""
    if line:
        x, y = line[-1]
        parts.append(f'<circle class="lw-dot" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3.5"/>')
        latest = f"{y:.4f} smoothed"
    return _svg(frame, "Loss", latest, "".join(parts))


def rate_chart(steps: Sequence[int], rates: Mapping[str, Sequence[float]]) -> str:
    """Return the learning rates over the steps, one line for each trained component.

    Args:
        steps: the steps, in order.
        rates: by component, one rate for each step.
    """
    if not steps or not rates:
        return empty_chart("Learning rate", "", width=320, height=300)
    frame = Frame(320, 300, _step_range(steps), _rate_range(rates), bottom=30 + 18 * len(rates))
    told = {component: f"{series[-1]:.2e}" for component, series in rates.items()}
    body = _axes(frame, x_count=3, y_count=4) + _rate_lines(frame, steps, rates, told)
    return _svg(frame, "Learning rate", "", body)


def schedule_chart(steps: Sequence[int], rates: Mapping[str, Sequence[float]], *, note: str) -> str:
    """Return the learning rates of a run to come, as `rate_chart`, but each with its highest.

    Args:
        steps: some steps of the run, in order.
        rates: by component, one rate for each of them.
        note: what there is to say about all of them.
    """
    frame = Frame(
        640, 220 + 18 * len(rates), _step_range(steps), _rate_range(rates), bottom=30 + 18 * len(rates)
    )
    told = {component: f"at most {max(series):.2e}" for component, series in rates.items()}
    body = _axes(frame, x_count=6, y_count=4) + _rate_lines(frame, steps, rates, told)
    return _svg(frame, "Learning rate", note, body)


def _rate_range(rates: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    every = [rate for series in rates.values() for rate in series]
    return 0.0, max(value_range(every)[1], 1e-12)


def _rate_lines(
    frame: Frame, steps: Sequence[int], rates: Mapping[str, Sequence[float]], told: Mapping[str, str]
) -> str:
    """Draw a line for each component, and below the axis its name with what is ``told`` of it."""
    parts: list[str] = []
    for position, (component, series) in enumerate(rates.items()):
        colour, row = RATE_COLOURS[position % len(RATE_COLOURS)], len(rates) - position
        line = _points(frame, thin(steps, series, count=MAX_POINTS // 4))
        parts.append(f'<polyline class="lw-line" style="stroke:{colour}" points="{line}"/>')
        parts.append(_legend(frame, component, told=told[component], colour=colour, row=row))
    return "".join(parts)


def empty_chart(title: str, hint: str, *, width: float, height: float) -> str:
    """Return a chart without a line, with a sentence where it will be."""
    frame = Frame(width, height, (0.0, 1.0), (0.0, 1.0))
    floor = frame.height - frame.bottom
    body = (
        f'<line class="lw-axis" x1="{frame.left}" x2="{width - frame.right}" y1="{floor}" y2="{floor}"/>'
        f'<text class="lw-hint" x="{width / 2}" y="{height / 2}" text-anchor="middle">'
        f"{html.escape(hint)}</text>"
    )
    return _svg(frame, title, "", body)


def _step_range(steps: Sequence[int]) -> tuple[float, float]:
    return min(steps[0], max(0, steps[0] - 1)), max(steps[-1], steps[0] + 1)


def _points(frame: Frame, points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)


def _axes(frame: Frame, *, x_count: int, y_count: int) -> str:
    left, right = frame.left, frame.width - frame.right
    floor = frame.height - frame.bottom
    parts = [f'<line class="lw-axis" x1="{left}" x2="{right}" y1="{floor}" y2="{floor}"/>']
    for value in ticks(*frame.y_range, count=y_count):
        y = frame.y(value)
        parts.append(f'<line class="lw-grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{label(value)}</text>')
    for value in ticks(*frame.x_range, count=x_count, whole=True):
        x = frame.x(value)
        parts.append(f'<text x="{x:.1f}" y="{floor + 18}" text-anchor="middle">{label(value)}</text>')
    return "".join(parts)


def _legend(frame: Frame, component: str, *, told: str, colour: str, row: int) -> str:
    y = frame.height - 18 * row + 10
    name = html.escape(component.replace("_", " "))
    return (
        f'<line class="lw-line" style="stroke:{colour}" x1="{frame.left}" x2="{frame.left + 18}" '
        f'y1="{y - 4}" y2="{y - 4}"/><text x="{frame.left + 26}" y="{y}">{name}</text>'
        f'<text class="lw-number" x="{frame.width - frame.right}" y="{y}" text-anchor="end">{told}</text>'
    )


def _svg(frame: Frame, title: str, latest: str, body: str) -> str:
    title, latest = html.escape(title), html.escape(latest)
    heading = f'<text class="lw-chart-title" x="8" y="16">{title}</text>'
    number = (
        f'<text class="lw-number" x="{frame.width - frame.right}" y="16" text-anchor="end">{latest}</text>'
    )
    size = f'viewBox="0 0 {frame.width:g} {frame.height:g}"'
    described = f'role="img" aria-label="{title} {latest}"'
    return f'<svg class="lw-chart" {size} {described}>{heading}{number}{body}</svg>'
