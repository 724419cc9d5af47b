"""The head of the monitor as markup: what the run is doing, its bar and its figures. Pure."""

import html
from dataclasses import dataclass

from lora_widgets.events import Failed, PhaseProgress
from lora_widgets.widgets import wording
from lora_widgets.widgets.progress import Progress


@dataclass(frozen=True)
class Surroundings:
    """What the events do not say: the user's wishes, and the memory of this process in bytes, if known."""

    paused: bool = False
    stopping: bool = False
    memory: int | None = None


def activity(progress: Progress, around: Surroundings) -> tuple[str, str]:
    """Return what the run is doing: a word for its colour, and words for people."""
    if progress.ending is not None:
        return _ending_of(progress)
    if around.stopping:
        return "stopping", "Stopping: finishing the step and saving"
    if around.paused:
        return "paused", "Paused"
    if progress.phase is not None:
        return "preparing", _capitalised(progress.phase.phase)
    if progress.started is not None:
        return "training", "Training"
    return "preparing", "Preparing"


def status_html(progress: Progress, around: Surroundings) -> str:
    """Return the head of the monitor."""
    state, words = activity(progress, around)
    started = progress.started
    title = html.escape(started.run_name) if started else "LoRA training"
    device = f'<span class="lw-device">{html.escape(started.device)}</span>' if started else ""
    return (
        f'<div class="lw-head"><span class="lw-title">{title}</span>'
        f'<span class="lw-state lw-state-{state}" role="status">{html.escape(words)}</span>{device}</div>'
        f"{_bar(progress, state)}{_figures(progress, around)}"
    )


def _ending_of(progress: Progress) -> tuple[str, str]:
    ending = progress.ending
    if isinstance(ending, Failed):
        return "failed", "Failed"
    if ending is not None and ending.reason == "stopped":
        return "stopped", f"Stopped at step {ending.step}; everything is saved"
    return "done", "Done"


def _bar(progress: Progress, state: str) -> str:
    """Return the bar: steps once training has begun, the phase's units before."""
    phase, started = progress.phase, progress.started
    if started is not None and started.total_steps > 0:
        done, total = progress.step, started.total_steps
    elif phase is not None and phase.total > 0:
        done, total = phase.done, phase.total
    else:
        done, total = 0, 1
    percent = 100 * min(done, total) / total
    counts_phase = state == "preparing" and phase is not None and phase.total > 0
    beside = _counted(progress, phase) if counts_phase and phase else f"{percent:.0f} %"
    return (
        f'<div class="lw-progress"><div class="lw-track" role="progressbar" aria-label="Progress" '
        f'aria-valuemin="0" aria-valuemax="{total}" aria-valuenow="{done}">'
        f'<div class="lw-fill lw-fill-{state}" style="width:{percent:.1f}%"></div></div>'
        f'<span class="lw-beside">{beside}</span></div>'
    )


def _counted(progress: Progress, phase: PhaseProgress) -> str:
    left = progress.phase_seconds_left()
    still = f", {wording.duration(left)} left" if left is not None and phase.done < phase.total else ""
    return f"{phase.done} of {phase.total}{still}"


def _figures(progress: Progress, around: Surroundings) -> str:
    figures = _training_figures(progress) if progress.started is not None else []
    if around.memory is not None:
        figures.append(("Memory", wording.size(around.memory), "this kernel"))
    cards = "".join(
        f'<div class="lw-figure"><div class="lw-name">{name}</div>'
        f'<div class="lw-value">{html.escape(value)}</div>'
        f'<div class="lw-unit">{html.escape(unit)}</div></div>'
        for name, value, unit in figures
    )
    return f'<div class="lw-figures">{cards}</div>'


def _training_figures(progress: Progress) -> list[tuple[str, str, str]]:
    """Return name, value and explanation of each figure."""
    started, newest = progress.started, progress.newest
    assert started is not None
    epoch = newest.epoch if newest else min(1, started.epochs)
    pace = progress.pace()
    return [
        ("Step", f"{progress.step}", f"of {started.total_steps}"),
        ("Epoch", f"{epoch}", f"of {started.epochs}"),
        _time_figure(progress),
        (
            "Speed",
            f"{wording.per_step(pace.seconds_per_step)}" if pace else "–",
            f"per step, {pace.pictures_per_second:.1f} pictures/s" if pace else "per step",
        ),
    ]


def _time_figure(progress: Progress) -> tuple[str, str, str]:
    ending = progress.ending
    if ending is not None and not isinstance(ending, Failed):
        return "Time", wording.duration(ending.seconds), "in all"
    left = progress.seconds_left()
    return "Time left", "–" if left is None else wording.duration(left), "at this pace"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
