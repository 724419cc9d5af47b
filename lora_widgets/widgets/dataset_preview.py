"""The dry run in a notebook: the numbers of a data set, and its pictures page by page."""

import threading
from collections.abc import Sequence
from itertools import groupby

import ipywidgets

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.preview.background_look import BackgroundLook
from lora_widgets.preview.cards import Shown, cards_html
from lora_widgets.preview.chart import bucket_chart, plain_name
from lora_widgets.preview.choice import Choice, Entry, bucket_choices, chosen, mark_choices, pages_of
from lora_widgets.preview.dry_run import all_badges, dry_run
from lora_widgets.preview.looking import compared_text, failed_html, looking_text
from lora_widgets.preview.marks import Compared, compare
from lora_widgets.preview.report import style
from lora_widgets.preview.summary import figures_html, remarks_html, title_text, words_html
from lora_widgets.widgets.shared_look import SharedLook
from lora_widgets.widgets.throttle import Throttle

PAGE_SIZE = 24
THUMBNAIL_SIDE = 256


class DatasetPreview:
    """Shows what the model will see: buckets, crops, captions of the first epochs, and what looks wrong.

    Nothing is written. Pictures are opened in the background, those on the page first; marks that need all
    pictures (blurred, look alike) appear when the last one has been opened.

    Args:
        config: the configuration whose pictures are shown.

    Raises:
        DatasetError: no picture can be used, or no bucket can be made.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.run = dry_run(config)
        self.compared: Compared | None = None
        self._lock = threading.RLock()
        self._throttle = Throttle()
        self._page = 0
        self._choosing = False
        self._look = SharedLook()
        self._cards = self._look.make(ipywidgets.HTML, {}, css=("lw-page",))
        self._looking = self._look.make(ipywidgets.HTML, {}, css=("lw-looking",))
        self._buckets = self._dropdown("Bucket", bucket_choices(self.run))
        self._marks = self._dropdown("Show", mark_choices(self.run, None))
        self._pages = self._dropdown("Page", [Choice("1 of 1", 0)])
        self._previous = self._button("Previous", "chevron-left", -1)
        self._next = self._button("Next", "chevron-right", 1)
        self._background = BackgroundLook(
            {card.number: card.image.path for card in self.run.cards},
            side=THUMBNAIL_SIDE,
            arrived=self._arrived,
        )
        self._buckets.observe(self._filter_changed, "value")
        self._marks.observe(self._filter_changed, "value")
        self._pages.observe(self._page_changed, "value")
        self.box = self._arranged()
        self._turn_to(0)

    def close(self) -> None:
        """Stop looking at pictures and take the widget away."""
        self._background.close()
        self.box.close()

    def _ipython_display_(self) -> None:
        """Show the preview."""
        from IPython.display import display

        display(self.box)

    def _arranged(self) -> ipywidgets.VBox:
        make = self._look.make
        run = self.run
        above = "".join(
            (
                f'<div class="lw-title">{title_text(run)}</div>',
                figures_html(run),
                remarks_html(run),
                bucket_chart(run.buckets, name=plain_name),
                words_html(run),
            )
        )
        turn = (self._buckets, self._marks, self._previous, self._pages, self._next, self._looking)
        parts = (
            make(ipywidgets.HTML, {"value": style("dry_run.css")}, css=("lw-style",)),
            make(ipywidgets.HTML, {"value": above}, css=("lw-above",)),
            make(ipywidgets.HBox, {"children": turn}, css=("lw-turn",)),
            self._cards,
        )
        return make(ipywidgets.VBox, {"children": parts}, css=("lw-dry",))

    def _dropdown(self, label: str, choices: Sequence[Choice]) -> ipywidgets.Dropdown:
        traits = {"description": label, "options": list(choices)}
        return self._look.make(ipywidgets.Dropdown, traits, css=("lw-choice",))

    def _button(self, text: str, icon: str, step: int) -> ipywidgets.Button:
        button = self._look.make(ipywidgets.Button, {"description": text, "icon": icon}, css=("lw-button",))
        button.on_click(lambda _: self._turn_to(self._page + step))
        return button

    def _filter_changed(self, _: object) -> None:
        with self._lock:
            if not self._choosing:
                self._turn_to(0)

    def _page_changed(self, change: dict[str, int]) -> None:
        with self._lock:
            if not self._choosing:
                self._turn_to(change["new"])

    def _turn_to(self, page: int) -> None:
        """Show a page of what is chosen; pictures not opened yet follow."""
        with self._lock:
            pages = self._all_pages()
            self._page = min(max(page, 0), len(pages) - 1)
            names = [Choice(f"{number + 1:,} of {len(pages):,}", number) for number in range(len(pages))]
            self._offer(self._pages, names, self._page)
            self._previous.disabled = self._page == 0
            self._next.disabled = self._page == len(pages) - 1
            self._draw_page(pages[self._page])
            self._draw_progress()
            self._background.want([entry.card.number for entry in pages[self._page]])

    def _page_entries(self) -> Sequence[Entry]:
        return self._all_pages()[self._page]

    def _all_pages(self) -> list[Sequence[Entry]]:
        entries = chosen(self.run, self.compared, bucket=self._buckets.value, mark=self._marks.value)
        return pages_of(entries, PAGE_SIZE)

    def _offer(self, dropdown: ipywidgets.Dropdown, choices: Sequence[Choice], value: object) -> None:
        """Change the choices of a dropdown, which would choose the first of them by itself."""
        self._choosing = True
        try:
            with dropdown.hold_sync():  # one message, not one for each trait
                if list(dropdown.options) != list(choices):
                    dropdown.options = list(choices)
                dropdown.value = value
        finally:
            self._choosing = False

    def _arrived(self) -> None:
        """Take up newly opened pictures; called by the thread that opens them."""
        looks = self._background.looks
        is_news = self._background.is_complete and self.compared is None
        # Without the lock: comparing many pictures takes a moment, in which pages can still be turned.
        compared = compare(looks, self.run.names) if is_news else self.compared
        with self._lock:
            if is_news:
                self.compared = compared
                self._offer(self._marks, mark_choices(self.run, compared), self._marks.value)
            if is_news or not self._is_page_complete:
                self._draw_page(self._page_entries())
            if is_news or self._background.problem or self._throttle.due():
                with self._throttle.drawing():
                    self._draw_progress()

    def _draw_page(self, entries: Sequence[Entry]) -> None:
        looks = self._background.looks
        parts: list[str] = []
        for heading, group in groupby(entries, key=lambda entry: entry.heading):
            shown = [
                Shown(entry.card, looks.get(entry.card.number), all_badges(entry.card, self.compared))
                for entry in group
            ]
            parts.append(f'<div class="lw-bucket-heading">{heading}</div>')
            parts.append(cards_html(shown, tokenize=self.run.tokenize))
        self._is_page_complete = self._background.are_ready([entry.card.number for entry in entries])
        self._cards.value = "".join(parts) or '<p class="lw-none">No picture is like this.</p>'

    def _draw_progress(self) -> None:
        total = len(self.run.cards)
        if self._background.problem is not None:
            self._looking.value = failed_html(self._background.problem)
        elif self.compared is None:
            self._looking.value = looking_text(len(self._background.looks), total)
        else:
            self._looking.value = compared_text(self.compared, total)
