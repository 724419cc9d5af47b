"""Which captions have more tokens than a text encoder reads at once, and what a limit would cut off."""

import random
from collections.abc import Iterable, MutableSequence, Sequence
from functools import lru_cache
from typing import Any

from lora_widgets.config.caption_weights import words_of
from lora_widgets.config.captions import MAX_TOKENS, TOKENS_PER_WINDOW
from lora_widgets.config.facts import LongCaption
from lora_widgets.data.captions import CaptionSettings, compose_kept
from lora_widgets.data.image_file import ImageFile
from lora_widgets.data.tokens import find_tokenizer, token_starts

SHOWN_LENGTH = 40
CAPTIONS_REMEMBERED = 65_536
LIMITS = range(TOKENS_PER_WINDOW, MAX_TOKENS + 1, TOKENS_PER_WINDOW)


def long_captions(
    images: Iterable[ImageFile], base_model: str, tokenizer_path: str | None
) -> tuple[LongCaption, ...]:
    """Return the captions of more than 75 tokens, the longest first; none if no tokenizer can be read."""
    tokenizer = find_tokenizer(base_model, tokenizer_path)
    if tokenizer is None:
        return ()
    measured = (
        (image.path.name, *_measure(tokenizer, _as_read(image.captions, image.subset.settings)))
        for image in images
    )
    found = [LongCaption(*row) for row in measured if row[1] > TOKENS_PER_WINDOW]
    return tuple(sorted(found, key=lambda long: (-long.tokens, long.picture)))


def full_caption(lines: Sequence[str], settings: CaptionSettings) -> str:
    """Return a caption in its own order with all tags, of several lines or alternatives the longest."""
    return compose_kept(lines, settings, _FULLEST)


def _as_read(lines: Sequence[str], settings: CaptionSettings) -> str:
    full = full_caption(lines, settings)
    return words_of(full) if settings.weighted_captions else full


@lru_cache(maxsize=CAPTIONS_REMEMBERED)  # a form looks at the same captions again and again
def _measure(tokenizer: Any, caption: str) -> tuple[int, tuple[str, ...]]:
    """Return the number of tokens, and how the text goes on after 75, 150 and 225, as far as it does."""
    starts = token_starts(tokenizer, caption)
    rests = (caption[starts[limit] :].lstrip(" ,") for limit in LIMITS if limit < len(starts))
    return len(starts), tuple(
        rest if len(rest) <= SHOWN_LENGTH else f"{rest[:SHOWN_LENGTH].rstrip()}…" for rest in rests
    )


class _Fullest(random.Random):
    """Draws what leaves nothing out: no tag dropped, none moved, the longest choice."""

    def random(self) -> float:
        return 1.0

    def shuffle(self, x: MutableSequence[Any]) -> None:
        pass

    def choice(self, seq: Any) -> Any:
        return max(seq, key=len)


_FULLEST = _Fullest()  # it keeps no state
