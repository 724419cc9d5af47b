"""The pictures that were found last, so that settings which only place them anew cost no scan."""

from dataclasses import replace

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.facts import FoundPictures, placed
from lora_widgets.data.scan import Scan, scan

SCAN_SETTINGS = (
    "train_data_dir",
    "dataset_config",
    "num_repeats",
    "caption_extension",
    "nested_folders",
    "reg_data_dir",
    "alpha_mask",
    "mask_data_dir",
)
"""The settings that decide which files are trained on, and what is read from them."""


class KnownPictures:
    """Finds pictures, and finds them again without looking at the disk while nothing asks for it."""

    def __init__(self) -> None:
        self._last: tuple[tuple[object, ...], Scan] | None = None

    def find(self, settings: TrainingConfig) -> FoundPictures:
        """Return the pictures that the settings name, in their buckets.

        Raises:
            DatasetError: no picture can be used, or no bucket can be made.
        """
        key = tuple(getattr(settings, name) for name in SCAN_SETTINGS)
        # What a dataset file leaves open comes from all the other settings.
        if self._last is None or self._last[0] != key or settings.dataset_config:
            self._last = key, scan(settings)
        return placed(_following(self._last[1], settings), settings)

    def forget(self) -> None:
        """Look at the disk the next time."""
        self._last = None


def _following(found: Scan, settings: TrainingConfig) -> Scan:
    """Let known pictures follow the settings as they are now."""
    if settings.dataset_config:
        return found
    old = {id(image.subset): image.subset for image in found.images}  # comparing whole settings is slow
    new = {key: replace(subset, settings=settings) for key, subset in old.items()}
    images = tuple(replace(image, subset=new[id(image.subset)]) for image in found.images)
    return replace(found, images=images, parts=(settings,))
