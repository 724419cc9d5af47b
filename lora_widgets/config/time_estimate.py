"""How long a run takes, from what an earlier run of the same kind took in this program.

Nothing is guessed from names of devices: without an earlier run nothing is said. What was measured is kept as
long as the program runs, which for a notebook is its kernel.
"""

from dataclasses import dataclass

from lora_widgets.config.facts import DatasetFacts, Facts
from lora_widgets.config.memory_estimate import computes_on_gpu
from lora_widgets.config.steps import StepPlan
from lora_widgets.config.training_config import TrainingConfig


@dataclass(frozen=True)
class RunKind:
    """What decides how long a pixel of a batch takes; ``model`` is the size of the denoiser in numbers."""

    on_gpu: bool
    family: str
    model: int
    settings: tuple[object, ...]


_SETTINGS = (
    "lora_type",
    "optimizer_type",
    "mixed_precision",
    "base_weights",
    "gradient_checkpointing",
    "blocks_to_swap",
    "trained_components",
    "latents_are_cached",
    "text_is_cached",
)
_seconds_per_pixel: dict[RunKind, float] = {}


def remember_pace(config: TrainingConfig, facts: Facts, steps: StepPlan, *, seconds_per_step: float) -> None:
    """Keep what a step of a run took, for later runs of its kind; the newest measurement counts."""
    kind = _kind_of(config, facts)
    if kind is not None and facts.dataset is not None and facts.dataset.bucket_sizes:
        _seconds_per_pixel[kind] = seconds_per_step / _pixels_per_step(facts.dataset, steps)


def expected_seconds(config: TrainingConfig, facts: Facts, steps: StepPlan) -> float | None:
    """Return how long the steps of a run will take, without samples; None where none was measured."""
    kind = _kind_of(config, facts)
    pace = _seconds_per_pixel.get(kind) if kind is not None else None
    if pace is None or facts.dataset is None or not facts.dataset.bucket_sizes:
        return None
    return pace * _pixels_per_step(facts.dataset, steps) * steps.total_steps


def forget_paces() -> None:
    """Know of no run any more."""
    _seconds_per_pixel.clear()


def _kind_of(config: TrainingConfig, facts: Facts) -> RunKind | None:
    if facts.base_model is None:
        return None
    settings = tuple(getattr(config, name) for name in _SETTINGS)
    return RunKind(computes_on_gpu(facts), config.model_type, facts.base_model.denoiser.numbers, settings)


def _pixels_per_step(dataset: DatasetFacts, steps: StepPlan) -> float:
    """Return the pixels of all pictures that a step shows, in the mean of an epoch."""
    sizes = zip(dataset.bucket_counts, dataset.bucket_sizes, strict=True)
    return sum(count * width * height for count, (width, height) in sizes) / steps.steps_per_epoch
