"""The log: what happened, newest last, bounded."""

import html
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import ipywidgets

from lora_widgets.events import Event, Failed, Finished, MemoryPeak, Notice, Saved, Started, TimeEstimate
from lora_widgets.preview.numbers import about, counted, gigabytes
from lora_widgets.widgets.markup import html_widget

MAX_LINES = 200


class LogView:
    """Shows one line for each event worth a line; ``box`` is its widget. Used by the training thread only."""

    def __init__(self, layout: ipywidgets.Layout, *, now: Callable[[], float] = time.time) -> None:
        self.box = html_widget(css_class="lw-log-box", layout=layout)
        self._now = now
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._changed = False

    def take(self, event: Event) -> None:
        """Add the event's line, if it has one."""
        entry = entry_of(event)
        if entry is None:
            return
        level, text = entry
        at = time.strftime("%H:%M:%S", time.localtime(self._now()))
        self._lines.append(f'<div class="lw-{level}"><time>{at}</time> {html.escape(text)}</div>')
        self._changed = True

    def draw(self) -> None:
        """Bring the widget up to date."""
        if self._changed:
            self.box.value = f'<div class="lw-section">Log</div>{self._lines_html()}'
            self._changed = False

    def kept_html(self) -> str:
        """Return the log as markup for the notebook file, folded away."""
        if not self._lines:
            return ""
        return f'<details class="lw-kept-log"><summary>Log</summary>{self._lines_html()}</details>'

    def _lines_html(self) -> str:
        # Drawn from the bottom up by the style sheet, which keeps the newest line in sight without a script.
        return f'<div class="lw-log" role="log">{"".join(reversed(self._lines))}</div>'


def entry_of(event: Event) -> tuple[str, str] | None:
    """Return level and text of the event's line, or None when it has none."""
    match event:
        case Notice():
            return event.level, event.message
        case Failed():
            return "error", f"{event.error} {event.remedy}"
        case _:
            text = _text_of(event)
            return None if text is None else ("info", text)


def _text_of(event: Event) -> str | None:
    match event:
        case Started():
            return _started_text(event)
        case Saved():
            return f"Step {event.step}: saved {event.kind} {Path(event.path).name}"
        case MemoryPeak():
            return peak_text(event)
        case TimeEstimate():
            return time_text(event)
        case Finished():
            return f"{'Done' if event.reason == 'done' else 'Stopped'} at step {event.step}."
        case _:
            return None


def peak_text(event: MemoryPeak) -> str:
    """Say what a phase took, beside what was expected."""
    expected = f" (estimated: {gigabytes(event.estimated_bytes)})" if event.estimated_bytes else ""
    return f"{event.phase} took up to {gigabytes(event.peak_bytes)} of {event.place}{expected}."


def time_text(event: TimeEstimate) -> str:
    """Say how long the rest of the run takes."""
    steps, left = counted(event.steps, "more step"), about(event.seconds_left)
    return f"{steps} at {event.seconds_per_step:.2f} s take about {left}."


def _started_text(event: Started) -> str:
    parts = ", ".join(
        f"{component.replace('_', ' ')} ({count} modules, {event.parameters.get(component, 0):,} parameters)"
        for component, count in event.modules.items()
    )
    resumed = f", resumed at step {event.start_step}" if event.start_step else ""
    return (
        f"Training {parts} for {event.total_steps} steps on {event.device}{resumed}. Folder: {event.folder}"
    )
