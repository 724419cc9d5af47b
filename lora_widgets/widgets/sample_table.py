"""Which sample pictures there are: a row for each prompt, a column for each step, the baseline first."""

import html
from dataclasses import dataclass

from lora_widgets.events import SampleReady
from lora_widgets.widgets.thumbnails import Thumbnail, image_tag
from lora_widgets.widgets.wording import duration

NEWEST_COLUMNS = 5  # beside the baseline; the older ones are on disk


@dataclass(frozen=True)
class Sample:
    """One picture and what made it."""

    event: SampleReady
    picture: Thumbnail


class SampleTable:
    """Holds the baseline and the newest columns; forgets those between.

    ``dropped`` counts what was forgotten, ``seconds`` is what all pictures took.
    """

    def __init__(self) -> None:
        self._columns: dict[int, dict[int, Sample]] = {}
        self._prompts: dict[int, str] = {}
        self._ratios: dict[int, float] = {}
        self.dropped = 0
        self.seconds = 0.0

    def add(self, sample: Sample) -> None:
        """Put a sample into its row and column, dropping the oldest column after the baseline when full."""
        event = sample.event
        self.seconds += event.seconds
        self._prompts.setdefault(event.index, event.prompt)
        self._ratios[event.index] = max(self._ratios.get(event.index, 0.0), sample.picture.ratio)
        self._columns.setdefault(event.step, {})[event.index] = sample
        if len(self._columns) > NEWEST_COLUMNS + 1:
            del self._columns[self.steps[1]]
            self.dropped += 1

    @property
    def steps(self) -> list[int]:
        """The steps that have a column, in order."""
        return sorted(self._columns)

    @property
    def row_ratios(self) -> tuple[float, ...]:
        """The height of every row, divided by the width of a cell."""
        return tuple(self._ratios[index] for index in sorted(self._prompts))

    def prompts_html(self) -> str:
        """Return the first column: the prompts."""
        rows = "".join(
            f'<div class="lw-prompt" {self._height(index)} '
            f'title="{html.escape(prompt, quote=True)}"><span>{html.escape(prompt)}</span></div>'
            for index, prompt in sorted(self._prompts.items())
        )
        return f'<div class="lw-column"><div class="lw-column-title">&nbsp;</div>{rows}</div>'

    def column_html(self, step: int) -> str:
        """Return the column of one step; a cell stays empty until its sample is there."""
        column = self._columns[step]
        cells = "".join(
            f'<div class="lw-cell" {self._height(index)}>{_cell(column.get(index))}</div>'
            for index in sorted(self._prompts)
        )
        title = "Before" if step == 0 else f"Step {step}"
        return f'<div class="lw-column"><div class="lw-column-title">{title}</div>{cells}</div>'

    def _height(self, index: int) -> str:
        # The same in every column, so that the rows of separate widgets line up.
        return f'style="height:calc(var(--lw-cell) * {self._ratios[index]:.4f})"'

    def weight(self, step: int) -> int:
        """Return the size of one column's pictures in bytes of markup."""
        return sum(len(sample.picture.url) for sample in self._columns[step].values())


def _cell(sample: Sample | None) -> str:
    if sample is None:
        return ""
    event = sample.event
    made = f"step {event.step}, seed {event.seed}, {duration(event.seconds)}"
    return image_tag(sample.picture, text=f"{event.prompt} ({made})\n{event.path}")
