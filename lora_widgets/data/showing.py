"""What chance decides about the caption of one showing of a picture; torch-free for the dry run."""

import random
from typing import NamedTuple

from lora_widgets.config.captions import captions_vary
from lora_widgets.data.captions import compose, compose_kept, is_dropped
from lora_widgets.data.image_file import ImageFile
from lora_widgets.data.randomness import rng_for


class Showing(NamedTuple):
    """One picture, by index, at one place of the batch of a micro-step: all chance is a function of these."""

    image: int
    micro_step: int
    position: int

    def rng(self, seed: int, purpose: str) -> random.Random:
        """Return the generator that decides about ``purpose``."""
        return rng_for(seed, purpose, self.micro_step, self.position)


class CaptionDraws(NamedTuple):
    """How captions are drawn: anew at each showing, or among ``variants`` of each picture where it is set."""

    seed: int
    variants: int | None = None

    def at(self, showing: Showing, image: ImageFile, *, epoch: int) -> str:
        """Return the caption with which ``image`` is shown; ``epoch`` counts from 1."""
        settings, rng = image.subset.settings, showing.rng(self.seed, "caption")
        if self.variants is None:
            return compose(image.captions, settings, rng, epoch=epoch)
        if is_dropped(settings, rng, epoch=epoch):
            return ""
        number = showing.rng(self.seed, "text variant").randrange(self._count(image))
        return self._variant(showing.image, image, number)

    def all_of(self, index: int, image: ImageFile) -> tuple[str, ...]:
        """Return every caption, but the empty one, that a picture can have; ``index`` is its own."""
        return tuple(self._variant(index, image, number) for number in range(self._count(image)))

    def _variant(self, index: int, image: ImageFile, number: int) -> str:
        rng = rng_for(self.seed, "caption variant", index, number)
        return compose_kept(image.captions, image.subset.settings, rng)

    def _count(self, image: ImageFile) -> int:
        return (self.variants or 1) if captions_vary(image.subset.settings) else 1
