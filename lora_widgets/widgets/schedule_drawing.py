"""The learning rates of the run to come as markup, drawn before it begins. Pure."""

from lora_widgets.config.findings import Draft
from lora_widgets.config.rates import base_rates, rates_over
from lora_widgets.widgets.charts import empty_chart, schedule_chart

POINTS = 150
ASSUMED_STEPS = 1000


def schedule_html(draft: Draft) -> str:
    """Return the drawing, for an assumed number of steps while the real one is not known, or why not."""
    config = draft.config
    if config is None:
        return _box(_hint("Drawn as soon as the values marked as wrong are corrected."))
    if not base_rates(config):
        return _box(_hint("Nothing is trained: all rates are 0."))
    if config.steps_itself:
        return _box(_hint(f"{config.optimizer_type} finds its rates itself while it trains."))
    known = draft.steps.total_steps if draft.steps else config.max_train_steps
    total = known or ASSUMED_STEPS
    note = f"{total:,} steps" if known else f"as for {total:,} steps; the number is not known yet"
    if config.optimizer.adaptive:
        note = f"times the rate that {config.optimizer_type} finds; {note}"
    steps = _some_of(total)
    rates = rates_over(config, (step - 1 for step in steps), total=total)
    return _box(schedule_chart(steps, rates, note=note))


def _some_of(total: int) -> list[int]:
    """Return steps (from 1) evenly over the run, with the first and the last."""
    if total <= POINTS:
        return list(range(1, total + 1))
    return [1 + i * (total - 1) // (POINTS - 1) for i in range(POINTS)]


def _hint(text: str) -> str:
    return empty_chart("Learning rate", text, width=640, height=160)


def _box(chart: str) -> str:
    return f'<div class="lw-schedule">{chart}</div>'
