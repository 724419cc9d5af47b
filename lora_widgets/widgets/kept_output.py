"""What stays in the notebook file when training is over: a summary, the samples and the loss picture.

Widgets are not saved with a notebook; reopened without a kernel they are an error message. So what is to
stay is plain markup and a PNG, in outputs shown under a display id and filled at the end.
"""

import base64
import html
from dataclasses import dataclass
from typing import Protocol

from IPython.display import display

COMPLETE_RECORDS = 3  # with pictures; a notebook file should not grow without end


@dataclass(frozen=True)
class Record:
    """What remains of a run: one line, the summary as HTML and in plain words, the loss picture as PNG."""

    headline: str
    markup: str
    text: str
    png: bytes


class Keeper(Protocol):
    """A place for what remains of a run."""

    def keep(self, record: Record) -> None:
        """Put it there; may be called from any thread, also after the cell ended."""
        ...


class KeptOutput:
    """Two outputs of the cell that creates it: the widget, later the summary; and below it the picture."""

    def __init__(self, widget: object) -> None:
        self._summary = display(widget, display_id=True)
        self._picture = display({"text/html": "", "text/plain": ""}, raw=True, display_id=True)

    def keep(self, record: Record) -> None:
        """Replace both outputs by what survives; may be called from any thread, also after the cell ended."""
        if self._summary is None or self._picture is None:  # outside IPython nothing was displayed
            return
        self._picture.update(
            {"image/png": _base64(record.png), "text/plain": "Loss and learning rates"}, raw=True
        )
        self._summary.update({"text/html": record.markup, "text/plain": record.text}, raw=True)


class FoldedOutput:
    """One output below a widget that stays: empty, then a folded entry for each run that has ended.

    Displayed again, it fills the newest place; a page that was loaded anew has forgotten the old ones. The
    newest three entries are complete, older ones are their headline.
    """

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._handle = None

    def display(self) -> None:
        """Make a place for what remains in the cell being executed."""
        self._handle = display(self._bundle(), raw=True, display_id=True)

    def keep(self, record: Record) -> None:
        """Add an entry; may be called from any thread, also after the cell ended."""
        self._records.append(record)
        if self._handle is not None:
            self._handle.update(self._bundle(), raw=True)

    def _bundle(self) -> dict[str, str]:
        complete = self._records[-COMPLETE_RECORDS:]
        older = map(_headline, self._records[:-COMPLETE_RECORDS])
        texts = "\n\n".join(f"{record.headline}\n{record.text}" for record in self._records)
        return {"text/html": "".join([*older, *map(_folded, complete)]), "text/plain": texts}


def _headline(record: Record) -> str:
    return f"<p>{html.escape(record.headline)}</p>"


def _folded(record: Record) -> str:
    picture = f'<img alt="Loss and learning rates" src="data:image/png;base64,{_base64(record.png)}"/>'
    return (
        f'<details class="lw-record"><summary>{html.escape(record.headline)}</summary>'
        f"{record.markup}<p>{picture}</p></details>"
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
