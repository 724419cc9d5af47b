"""The language between the engine and whoever listens: frozen values of plain types, one per fact.

The engine yields these and knows nothing of who reads them; listeners (the monitor, the journal, the
terminal) read them and cannot change training. Imports nothing of ours.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Event:
    """A fact the loop reports."""


@dataclass(frozen=True)
class Started(Event):
    """Preparation is over and the first step is next.

    ``start_step`` is 0, or the number of steps already done when a run is resumed. ``modules`` and
    ``parameters`` count what the adapter trains, by component ("unet", "text_encoder_1").
    """

    run_name: str
    folder: str
    total_steps: int
    steps_per_epoch: int
    epochs: int
    start_step: int
    modules: dict[str, int]
    parameters: dict[str, int]
    device: str


@dataclass(frozen=True)
class PhaseProgress(Event):
    """Work before or beside the loop: ``done`` of ``total`` units of the phase named in the user's words."""

    phase: str
    done: int
    total: int


@dataclass(frozen=True)
class StepDone(Event):
    """One optimizer update; ``step`` and ``epoch`` count from 1.

    ``loss`` is the mean over the step's pictures, ``learning_rates`` are this update's by name ("unet",
    "text_encoder"), with the factor that an adaptive optimizer has found and without LoRA+'s ratio,
    ``grad_norm`` is the norm before clipping, ``seconds`` is the time since the previous update.
    """

    step: int
    epoch: int
    loss: float
    learning_rates: dict[str, float]
    grad_norm: float
    seconds: float
    images: int


@dataclass(frozen=True)
class SampleReady(Event):
    """A preview picture was written; ``step`` is 0 for the baseline of the untouched model.

    ``seconds`` is what drawing and writing it took.
    """

    step: int
    epoch: int
    index: int
    prompt: str
    seed: int
    path: str
    seconds: float


@dataclass(frozen=True)
class Saved(Event):
    """Weights or a state were written, completely, under their final name."""

    kind: Literal["weights", "state"]
    step: int
    epoch: int
    path: str


@dataclass(frozen=True)
class Notice(Event):
    """Something the user should know: a fall-back, a skipped file, a non-finite loss."""

    level: Literal["info", "warning"]
    message: str


@dataclass(frozen=True)
class MemoryPeak(Event):
    """What a phase took of the memory at most, in bytes, beside what was estimated (None: nothing was).

    ``place`` is "GPU memory" or "memory"; on a processor what the program held before the run is left out.
    """

    phase: str
    peak_bytes: int
    estimated_bytes: int | None
    place: str


@dataclass(frozen=True)
class TimeEstimate(Event):
    """How long the rest of the run takes at the pace of its first steps; told once.

    ``steps`` are still to be done. ``seconds_left`` counts samples too, where some have been drawn before.
    """

    steps: int
    seconds_per_step: float
    seconds_left: float


@dataclass(frozen=True)
class Finished(Event):
    """The run ended tidily: all steps "done", or "stopped" by the user with everything saved."""

    reason: Literal["done", "stopped"]
    step: int
    total_steps: int
    seconds: float
    files: tuple[str, ...]


@dataclass(frozen=True)
class Failed(Event):
    """The run ended with an error; ``last_state`` is the newest state folder to resume from, if any."""

    error: str
    remedy: str
    last_state: str | None
