"""A folder of pictures and the settings they follow: one for a flat configuration, several from a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lora_widgets.data.captions import CaptionSettings


class SubsetSettings(CaptionSettings, Protocol):
    """The settings that can differ from folder to folder; a whole configuration is one of these."""

    @property
    def caption_extension(self) -> str:
        """Extension of the caption files to look for first."""
        ...

    @property
    def nested_folders(self) -> bool:
        """Take the pictures of folders in the folder too."""
        ...

    @property
    def flip_aug(self) -> bool:
        """Mirror pictures with probability one half."""
        ...

    @property
    def random_crop(self) -> bool:
        """Cut at a random place instead of the centre."""
        ...

    @property
    def latent_cache_crops(self) -> int:
        """Crops of each picture among cached latents, where pictures are cut at random."""
        ...

    @property
    def alpha_mask(self) -> bool:
        """Learn only where a picture is opaque."""
        ...

    @property
    def mask_data_dir(self) -> str | None:
        """Folder with a mask for each picture."""
        ...


@dataclass(frozen=True)
class Subset:
    """One folder of pictures.

    ``class_tokens`` stand in for a missing caption file. ``part`` counts, from 0, the group of subsets that
    share resolution, buckets and batch size. ``is_reg`` marks regularisation pictures.
    """

    folder: Path
    repeats: int
    class_tokens: str
    settings: SubsetSettings
    part: int = 0
    is_reg: bool = False
