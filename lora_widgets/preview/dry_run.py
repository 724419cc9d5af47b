"""A dry run: everything about a data set that can be said before training, put together. Pure once made."""

from collections.abc import Sequence
from dataclasses import dataclass

from lora_widgets.config.findings import Facts, check
from lora_widgets.config.steps import StepPlan
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.buckets import Placement
from lora_widgets.data.facts import FoundPictures, facts_for
from lora_widgets.data.image_file import ImageFile
from lora_widgets.data.showing import CaptionDraws
from lora_widgets.preview.batches import BucketKey, BucketRow, bucket_key, bucket_rows
from lora_widgets.preview.chips import Tokenize, tokenizing
from lora_widgets.preview.marks import Badge, Compared, Mark, badges_at_once
from lora_widgets.preview.showings import ShownCaption, captions_of, first_places

_ORDER = {mark: position for position, mark in enumerate(Mark)}


@dataclass(frozen=True)
class Card:
    """What is known of one picture before it is opened; ``number`` counts all pictures from 0."""

    number: int
    image: ImageFile
    placement: Placement
    bucket: BucketKey
    captions: tuple[ShownCaption, ...]
    badges: tuple[Badge, ...]


@dataclass(frozen=True)
class DryRun:
    """The cards of all pictures, bucket by bucket, and the data set in numbers.

    ``steps`` is None where errors in the configuration leave the length of the run open, ``tokenize`` where
    the base model's tokenizer is not on this machine.
    """

    config: TrainingConfig
    found: FoundPictures
    steps: StepPlan | None
    tokenize: Tokenize | None
    buckets: tuple[BucketRow, ...]
    cards: tuple[Card, ...]

    @property
    def names(self) -> dict[int, str]:
        """The file names by number."""
        return {card.number: card.image.path.name for card in self.cards}


def dry_run(config: TrainingConfig) -> DryRun:
    """Find and place the pictures of a configuration, as training would.

    Raises:
        DatasetError: no picture can be used, or no bucket can be made.
    """
    found = facts_for(config)
    steps = check(config, Facts(dataset=found.facts)).steps
    tokenize = tokenizing(config)
    # Variants are for captions that are encoded before the training.
    draws = CaptionDraws(config.seed, config.text_cache_variants if config.captions_are_kept else None)
    places = first_places(found, config, steps)
    cards: list[Card] = []
    for number, (image, placement) in enumerate(zip(found.scan.images, found.plan.placements, strict=True)):
        captions = captions_of(image, places[number], draws)
        badges = badges_at_once(image, placement, lost_tokens=_lost_tokens(captions, tokenize))
        bucket = bucket_key(image, placement)
        cards.append(Card(number, image, placement, bucket, captions, tuple(badges)))
    cards.sort(key=lambda card: (card.bucket, card.number))
    return DryRun(config, found, steps, tokenize, bucket_rows(found), tuple(cards))


def all_badges(card: Card, compared: Compared | None) -> tuple[Badge, ...]:
    """Return the badges of a picture in the order of ``Mark``; ``compared`` None: not compared yet."""
    more = compared.badges.get(card.number, ()) if compared else ()
    return tuple(sorted((*card.badges, *more), key=lambda badge: _ORDER[badge.mark]))


def _lost_tokens(captions: Sequence[ShownCaption], tokenize: Tokenize | None) -> int:
    """Count the tokens that the longest of these captions has beyond the limit."""
    if tokenize is None:
        return 0
    return max((sum(chip.is_cut for chip in tokenize(shown.caption)) for shown in captions), default=0)
