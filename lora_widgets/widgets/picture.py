"""The loss picture that is kept: in the notebook file, on disk, on the command line. Drawn by matplotlib.

The figure is made without pyplot, whose global state a training thread must not touch.
"""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lora_widgets.events import StepDone
from lora_widgets.widgets.series import half_life, label, smooth, spans, thin, value_range

INK, GRID, LOSS = "#2b2f36", "#e3e6ea", "#2f6fed"
RATES = ("#e8833a", "#2fa37c", "#a06ee1")
MAX_SPANS = 300


def loss_picture(history: Sequence[StepDone], *, title: str) -> bytes:
    """Return a PNG of the loss and the learning rates over the steps of ``history`` (which may be empty)."""
    figure = Figure(figsize=(8.2, 4.6), dpi=110, facecolor="white", layout="constrained")
    canvas = FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    steps = [event.step for event in history]
    _draw_loss(above, steps, [event.loss for event in history])
    _draw_rates(below, steps, history)
    above.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, parse_math=False)
    content = io.BytesIO()
    canvas.print_png(content)
    return content.getvalue()


def write_loss_picture(history: Sequence[StepDone], path: str | Path) -> Path:
    """Write the picture of ``history`` as a PNG file, completely or not at all, and return its path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.write_bytes(loss_picture(history, title="Training loss"))
    return unfinished.replace(target)


def _draw_loss(axes: Axes, steps: Sequence[int], losses: Sequence[float]) -> None:
    _style(axes, "loss")
    smoothed = smooth(losses, half_life(len(losses)))
    band = spans(steps, losses, count=MAX_SPANS)
    axes.fill_between(
        [s.x for s in band],
        [s.low for s in band],
        [s.high for s in band],
        color=LOSS,
        alpha=0.18,
        linewidth=1.0,
        label="every step",
    )
    line = thin(steps, smoothed, count=MAX_SPANS)
    axes.plot([x for x, _ in line], [y for _, y in line], color=LOSS, linewidth=2.0, label="smoothed")
    axes.set_ylim(*value_range(losses, always=smoothed))
    if line:
        axes.plot(*line[-1], "o", color=LOSS, markersize=5)
        axes.legend(loc="upper right", frameon=False, fontsize=9, labelcolor=INK)


def _draw_rates(axes: Axes, steps: Sequence[int], history: Sequence[StepDone]) -> None:
    _style(axes, "learning rate")
    components = list(history[-1].learning_rates) if history else []
    for position, component in enumerate(components):
        rates = [event.learning_rates[component] for event in history]
        colour = RATES[position % len(RATES)]
        axes.plot(steps, rates, color=colour, linewidth=1.8, label=component.replace("_", " "))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("step", fontsize=9, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: label(value)))
    if components:
        axes.legend(loc="best", frameon=False, fontsize=9, labelcolor=INK)


def _style(axes: Axes, name: str) -> None:
    axes.set_ylabel(name, fontsize=9, color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.margins(x=0.01)
