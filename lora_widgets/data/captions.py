"""The caption of one training example: small string functions in a fixed order, randomness passed in.

The order is that of kohya-ss/sd-scripts (process_caption): prefix and suffix, caption dropout, choice of a
line and wildcards, tags (fixed first, flexible ones shuffled and dropped), secondary separator. Different on
purpose: ``keep_tokens_separator`` never stays in a caption just because nothing is shuffled, and prefix and
suffix belong to every line of a caption with alternatives.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lora_widgets.config.captions import TagSettings, tags_move

JOINER = ", "
CHOICE = re.compile(r"\{([^}]+)\}")
# Stand-ins for doubled braces while choices are made; private-use characters do not occur in captions.
OPENING, CLOSING = "\ue000", "\ue001"


class CaptionSettings(TagSettings, Protocol):
    """The settings of the caption pipeline; empty text, 0 and None mean off."""

    @property
    def keep_tokens(self) -> int:
        """Number of tags that stay in front, where the caption has no ``keep_tokens_separator``."""
        ...

    @property
    def keep_tokens_separator(self) -> str:
        """Text between fixed and flexible tags; a second one ends the flexible tags."""
        ...

    @property
    def caption_separator(self) -> str:
        """Text between tags."""
        ...

    @property
    def secondary_separator(self) -> str:
        """Text between tags that move as one; becomes ``caption_separator`` at the end."""
        ...

    @property
    def weighted_captions(self) -> bool:
        """Read brackets as weights of words; they are then no part of the text."""
        ...

    @property
    def caption_prefix(self) -> str:
        """Text put in front of every caption."""
        ...

    @property
    def caption_suffix(self) -> str:
        """Text put behind every caption."""
        ...

    @property
    def caption_dropout_rate(self) -> float:
        """Probability of an empty caption."""
        ...

    @property
    def caption_dropout_every_n_epochs(self) -> int:
        """All captions are empty in epochs divisible by this."""
        ...


@dataclass(frozen=True)
class Tags:
    """The tags of a caption: those that stay first, those that may move or go, those that stay last."""

    fixed: list[str]
    flexible: list[str]
    last: list[str]


def compose(lines: Sequence[str], settings: CaptionSettings, rng: random.Random, *, epoch: int) -> str:
    """Make the caption of one example from the lines of its caption file; ``epoch`` counts from 1."""
    if is_dropped(settings, rng, epoch=epoch):
        return ""
    return compose_kept(lines, settings, rng)


def is_dropped(settings: CaptionSettings, rng: random.Random, *, epoch: int) -> bool:
    """Decide whether the whole caption is left out, by rate or because of the epoch (from 1)."""
    by_rate = settings.caption_dropout_rate > 0 and rng.random() < settings.caption_dropout_rate
    every = settings.caption_dropout_every_n_epochs
    return by_rate or (every > 0 and epoch % every == 0)


def compose_kept(lines: Sequence[str], settings: CaptionSettings, rng: random.Random) -> str:
    """Do all of ``compose`` but the dropout of whole captions; uses ``rng`` only if ``captions_vary``."""
    line = choose_line(lines, rng) if settings.enable_wildcard else next(iter(lines), "")
    line = decorate(line, prefix=settings.caption_prefix, suffix=settings.caption_suffix)
    if settings.enable_wildcard:
        line = choose_wildcards(line, rng)
    line = arrange_tags(line, settings, rng)
    if settings.secondary_separator:
        line = line.replace(settings.secondary_separator, settings.caption_separator)
    return line


def captions_drop(settings: CaptionSettings) -> bool:
    """Tell whether captions can be left out as a whole."""
    return settings.caption_dropout_rate > 0 or settings.caption_dropout_every_n_epochs > 0


def choose_line(lines: Sequence[str], rng: random.Random) -> str:
    """Choose one of the alternative lines of a caption file."""
    return rng.choice(lines) if len(lines) > 1 else next(iter(lines), "")


def decorate(line: str, *, prefix: str, suffix: str) -> str:
    """Put prefix and suffix around a caption, each with one space between."""
    with_prefix = f"{prefix} {line}" if prefix else line
    return f"{with_prefix} {suffix}" if suffix else with_prefix


def choose_wildcards(text: str, rng: random.Random) -> str:
    """Replace each ``{a|b|c}``, not nested, by an alternative; ``{{`` and ``}}`` give literal braces."""
    protected = text.replace("{{", OPENING).replace("}}", CLOSING)
    chosen = CHOICE.sub(lambda match: rng.choice(match[1].split("|")), protected)
    return chosen.replace(OPENING, "{").replace(CLOSING, "}")


def arrange_tags(text: str, settings: CaptionSettings, rng: random.Random) -> str:
    """Shuffle and drop the flexible tags; without either, only the keep separator is taken out.

    At most two keep separators have a meaning: a third one is part of the last tags.
    """
    separated = bool(settings.keep_tokens_separator) and settings.keep_tokens_separator in text
    if not (tags_move(settings) or separated):
        return text
    if separated:
        tags = split_by_keep_separator(
            text, settings.keep_tokens_separator, separator=settings.caption_separator
        )
    else:
        tags = split_by_count(text, settings.keep_tokens, separator=settings.caption_separator)
    flexible = list(tags.flexible)
    if settings.shuffle_caption:
        rng.shuffle(flexible)
    flexible = drop_tags(flexible, settings.caption_tag_dropout_rate, rng)
    return JOINER.join([*tags.fixed, *flexible, *tags.last])


def split_by_keep_separator(text: str, keep_separator: str, *, separator: str) -> Tags:
    """Split at the first two keep separators into fixed, flexible and last tags; empty tags go."""
    parts = [*text.split(keep_separator, 2), "", ""][:3]
    fixed, flexible, last = ([tag.strip() for tag in part.split(separator) if tag.strip()] for part in parts)
    return Tags(fixed, flexible, last)


def split_by_count(text: str, keep_tokens: int, *, separator: str) -> Tags:
    """Split into tags of which the first ``keep_tokens`` are fixed."""
    tags = [tag.strip() for tag in text.strip().split(separator)]
    return Tags(tags[:keep_tokens], tags[keep_tokens:], [])


def drop_tags(tags: list[str], rate: float, rng: random.Random) -> list[str]:
    """Leave each tag out with probability ``rate``."""
    if rate <= 0:
        return tags
    return [tag for tag in tags if rng.random() >= rate]
