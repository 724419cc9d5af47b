"""The grid of sample pictures: one widget for each column, so that a new picture sends only its column."""

import ipywidgets

from lora_widgets.events import SampleReady
from lora_widgets.widgets.markup import html_widget
from lora_widgets.widgets.sample_table import Sample, SampleTable
from lora_widgets.widgets.thumbnails import thumbnail
from lora_widgets.widgets.wording import duration

KEPT_BYTES = 2_000_000  # pictures that may go into the notebook file


class SamplesView:
    """Shows sample pictures; ``box`` is its widget. Used by the training thread only."""

    def __init__(self, layout: ipywidgets.Layout) -> None:
        self._layout = layout
        self._title = html_widget(css_class="lw-samples-title", layout=layout)
        self._grid = ipywidgets.HBox([], layout=layout)
        self._grid.add_class("lw-samples-grid")
        self._size_class = ""
        self.box = ipywidgets.VBox([self._title, self._grid], layout=layout)
        self._prompts = html_widget(css_class="lw-samples-prompts", layout=layout)
        self._columns: dict[int, ipywidgets.HTML] = {}
        self._table = SampleTable()
        self._stale: set[int] = set()
        self._drawn_ratios: tuple[float, ...] = ()

    def take(self, event: SampleReady) -> None:
        """Read the picture; it appears with the next drawing."""
        self._table.add(Sample(event, thumbnail(event.path)))
        self._stale.add(event.step)

    def draw(self) -> None:
        """Bring the widgets up to date, sending only columns that changed."""
        if not self._stale:
            return
        ratios = self._table.row_ratios
        if ratios != self._drawn_ratios:
            self._stale.update(self._table.steps)
            self._drawn_ratios = ratios
        self._title.value = self._title_html()
        self._prompts.value = self._table.prompts_html()
        self._place_columns()
        for step in self._stale.intersection(self._columns):
            self._columns[step].value = self._table.column_html(step)
        self._stale.clear()

    def kept_html(self) -> str:
        """Return the grid for the notebook file: the baseline and the newest columns within 2 MB."""
        steps = self._table.steps
        if not steps:
            return ""
        left = KEPT_BYTES - self._table.weight(steps[0])
        kept: list[int] = []
        for step in reversed(steps[1:]):
            left -= self._table.weight(step)
            if left < 0 and kept:
                break
            kept.insert(0, step)
        columns = "".join(self._table.column_html(step) for step in [steps[0], *kept])
        css = f"lw-samples-grid {size_class(1 + len(kept))}"
        return f'{self._title_html()}<div class="{css}">{self._table.prompts_html()}{columns}</div>'

    def _place_columns(self) -> None:
        """Give every step a widget, handing those of dropped steps on to the new ones."""
        steps = self._table.steps
        spare = [self._columns.pop(step) for step in list(self._columns) if step not in steps]
        for step in steps:
            if step not in self._columns:
                self._columns[step] = spare.pop() if spare else self._new_column()
                self._stale.add(step)
        children = (self._prompts, *(self._columns[step] for step in steps))
        if self._grid.children != children:
            self._grid.children = children
            self._resize(size_class(len(steps)))

    def _resize(self, css_class: str) -> None:
        if css_class != self._size_class:
            self._grid.remove_class(self._size_class)
            self._grid.add_class(css_class)
            self._size_class = css_class

    def _new_column(self) -> ipywidgets.HTML:
        return html_widget(css_class="lw-samples-column", layout=self._layout)

    def _title_html(self) -> str:
        dropped = self._table.dropped
        older = f", {dropped} older in the run folder" if dropped else ""
        note = f'<span class="lw-hint"> drawn in {duration(self._table.seconds)}{older}</span>'
        return f'<div class="lw-section">Samples{note}</div>'


def size_class(columns: int) -> str:
    """Return the CSS class that sizes the cells so that this many columns are in sight together."""
    return "lw-cells-large" if columns <= 4 else "lw-cells-small"
