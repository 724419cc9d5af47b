"""When each picture is shown in the first epochs, and with which caption: the truth, not an example."""

from dataclasses import dataclass

from lora_widgets.config.steps import StepPlan
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.facts import FoundPictures
from lora_widgets.data.image_file import ImageFile
from lora_widgets.data.order import epoch_order, group_by_bucket
from lora_widgets.data.showing import CaptionDraws, Showing

EPOCHS_SHOWN = 3


Places = tuple[tuple[int, Showing], ...]
"""For each epoch (from 1) that shows a picture, its first showing there."""


@dataclass(frozen=True)
class ShownCaption:
    """A caption as the model gets it, and the first epochs whose first showing has it."""

    epochs: tuple[int, ...]
    caption: str


def first_places(found: FoundPictures, config: TrainingConfig, steps: StepPlan | None) -> tuple[Places, ...]:
    """Find, for every picture, its first showing in each of the first three epochs.

    A run that ends earlier shows less: an epoch is missing where its end comes before the picture's turn.
    ``steps`` None means that the length of the run is not known.
    """
    groups = group_by_bucket(found.plan, found.scan.images, found.scan.parts)
    places: list[list[tuple[int, Showing]]] = [[] for _ in found.scan.images]
    for epoch in range(1, EPOCHS_SHOWN + 1):
        batches = epoch_order(groups, seed=config.seed, epoch=epoch)
        before = (epoch - 1) * len(batches)
        end = len(batches) if steps is None else _end(steps, config.gradient_accumulation_steps, epoch)
        seen: set[int] = set()
        for number, batch in enumerate(batches[:end]):
            for position, image in enumerate(batch):
                if image not in seen:
                    seen.add(image)
                    places[image].append((epoch, Showing(image, before + number, position)))
    return tuple(tuple(own) for own in places)


def captions_of(image: ImageFile, places: Places, draws: CaptionDraws) -> tuple[ShownCaption, ...]:
    """Compose the captions at ``places`` as training will, equal ones together."""
    epochs_of: dict[str, list[int]] = {}
    for epoch, showing in places:
        epochs_of.setdefault(draws.at(showing, image, epoch=epoch), []).append(epoch)
    return tuple(ShownCaption(tuple(epochs), caption) for caption, epochs in epochs_of.items())


def _end(steps: StepPlan, accumulation: int, epoch: int) -> int:
    """Return the number of batches that the run shows of an epoch."""
    steps_left = steps.total_steps - (epoch - 1) * steps.steps_per_epoch
    return max(0, min(steps_left * accumulation, steps.batches_per_epoch))
