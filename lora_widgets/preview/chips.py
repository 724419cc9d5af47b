"""A caption as the tokens of the text encoder, drawn as chips with the place where it is cut."""

import html
from collections.abc import Callable, Sequence

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.config.caption_weights import words_of
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.tokens import Chip, chips, find_tokenizer
from lora_widgets.preview.numbers import counted

Tokenize = Callable[[str], Sequence[Chip]]


def tokenizing(config: TrainingConfig) -> Tokenize | None:
    """Return what divides captions into the tokens of the base model; None where they are not known here.

    Of the families with T5 they are not: the tokens of CLIP, which pools what it reads, say little there.
    """
    if FAMILIES[config.model_type].is_flow:
        return None
    tokenizer = find_tokenizer(config.pretrained_model_name_or_path, config.tokenizer_path)
    if tokenizer is None:
        return None
    read = words_of if config.weighted_captions else str
    return lambda caption: chips(read(caption), tokenizer, config.max_token_length)


def chips_html(chips: Sequence[Chip]) -> str:
    """Draw tokens: a bar where a new window begins, and a word where the caption is cut."""
    parts: list[str] = []
    before: Chip | None = None
    for chip in chips:
        if before is not None and chip.is_cut and not before.is_cut:
            parts.append(f'<span class="lw-cut-here">cut here: {_lost(chips)}</span>')
        elif before is not None and chip.window != before.window:
            parts.append('<span class="lw-window" title="read by the text encoder in a new window"></span>')
        before = chip
        if chip.text.strip():  # several tokens can stand for one character, which is drawn once
            css = "lw-chip lw-chip-cut" if chip.is_cut else "lw-chip"
            # The blank outside, so that lines break between words and not between the tokens of one.
            blank = " " if chip.text[-1].isspace() else ""
            parts.append(f'<span class="{css}">{html.escape(chip.text.strip())}</span>{blank}')
    return f'<span class="lw-chips">{"".join(parts)}</span>'


def _lost(chips: Sequence[Chip]) -> str:
    count = sum(chip.is_cut for chip in chips)
    return f"{counted(count, 'token')} {'is' if count == 1 else 'are'} lost"
