"""A caption as the tokens of the text encoder, drawn as chips with the place where it is cut. Pure."""

import html
from collections.abc import Callable, Sequence
from typing import Protocol


class Chip(Protocol):
    """One token of a caption: its text, the window of the text encoder it is in, whether it is lost."""

    @property
    def text(self) -> str:
        """What the token stands for."""
        ...

    @property
    def window(self) -> int:
        """Number, from 0, of the piece that the text encoder reads at once."""
        ...

    @property
    def is_cut(self) -> bool:
        """Whether the text encoder never reads it, because the caption is too long."""
        ...


Tokenize = Callable[[str], Sequence[Chip]]


def chips_html(chips: Sequence[Chip]) -> str:
    """Draw tokens: a bar where a new window begins, and a word where the caption is cut."""
    parts: list[str] = []
    before: Chip | None = None
    for chip in chips:
        if before is not None and chip.is_cut and not before.is_cut:
            lost = sum(later.is_cut for later in chips)
            parts.append(f'<span class="lw-cut-here">cut here: {lost} tokens are lost</span>')
        elif before is not None and chip.window != before.window:
            parts.append('<span class="lw-window" title="the text encoder reads the rest on its own"></span>')
        css = "lw-chip lw-chip-cut" if chip.is_cut else "lw-chip"
        parts.append(f'<span class="{css}">{html.escape(chip.text)}</span>')
        before = chip
    return f'<span class="lw-chips">{"".join(parts)}</span>'
