"""When each picture is shown in the first epochs, and with which caption: the truth, not an example."""

from collections.abc import Sequence
from dataclasses import dataclass

from lora_widgets.config.steps import StepPlan
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.captions import compose
from lora_widgets.data.facts import FoundPictures
from lora_widgets.data.randomness import rng_for
from lora_widgets.data.scan import ImageFile
from lora_widgets.preview.batches import batches_of_epoch

EPOCHS_SHOWN = 3


@dataclass(frozen=True)
class Place:
    """Where an epoch (from 1) shows a picture first: micro-step (from 0, over all epochs) and position."""

    epoch: int
    micro_step: int
    position: int


@dataclass(frozen=True)
class Showing:
    """A caption as the model gets it, and the first epochs whose first showing has it."""

    epochs: tuple[int, ...]
    caption: str


def first_places(
    found: FoundPictures, config: TrainingConfig, steps: StepPlan | None
) -> tuple[tuple[Place, ...], ...]:
    """Find, for every picture, its first showing in each of the first three epochs.

    A run that ends earlier shows less: an epoch is missing where its end comes before the picture's turn.
    ``steps`` None means that the length of the run is not known.
    """
    places: list[list[Place]] = [[] for _ in found.scan.images]
    for epoch in range(1, EPOCHS_SHOWN + 1):
        batches = batches_of_epoch(found, config, epoch)
        before = (epoch - 1) * len(batches)
        end = len(batches) if steps is None else _end(steps, config.gradient_accumulation_steps, epoch)
        seen: set[int] = set()
        for number, batch in enumerate(batches[:end]):
            for position, image in enumerate(batch):
                if image not in seen:
                    seen.add(image)
                    places[image].append(Place(epoch, before + number, position))
    return tuple(tuple(own) for own in places)


def showings_of(image: ImageFile, places: Sequence[Place], *, seed: int) -> tuple[Showing, ...]:
    """Compose the captions at ``places`` as training will, equal ones together."""
    epochs_of: dict[str, list[int]] = {}
    for place in places:
        epochs_of.setdefault(caption_at(image, place, seed=seed), []).append(place.epoch)
    return tuple(Showing(tuple(epochs), caption) for caption, epochs in epochs_of.items())


def caption_at(image: ImageFile, place: Place, *, seed: int) -> str:
    """Compose the caption with which training shows ``image`` at ``place``."""
    rng = rng_for(seed, "caption", place.micro_step, place.position)
    return compose(image.captions, image.subset.settings, rng, epoch=place.epoch)


def _end(steps: StepPlan, accumulation: int, epoch: int) -> int:
    """Return the number of batches that the run shows of an epoch."""
    steps_left = steps.total_steps - (epoch - 1) * steps.steps_per_epoch
    return max(0, min(steps_left * accumulation, steps.batches_per_epoch))
