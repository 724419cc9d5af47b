"""A small panel for tools on LoRA files: choose a tool, type paths, press the button, read what came out."""

import html
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ipywidgets

from lora_widgets.catalog.formats import DIALECTS, SAVE_PRECISIONS
from lora_widgets.errors import LoraWidgetsError
from lora_widgets.widgets.markup import style_tag

Progress = Callable[[int, int], None]
Run = Callable[[str, Mapping[str, str], Progress], str]
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tool:
    """What a tool does in words, and the fields that it reads."""

    words: str
    fields: tuple[str, ...]


TOOLS = {
    "inspect": Tool("Look into a file", ("source",)),
    "check": Tool("Check a file", ("source", "base")),
    "convert": Tool("Convert the names", ("source", "target", "dialect", "precision")),
    "resize": Tool("Resize the rank", ("source", "target", "rank", "share", "base", "precision")),
    "merge": Tool("Merge files", ("sources", "target", "rank", "share", "base", "precision")),
    "merge-into": Tool("Merge into a model", ("base", "sources", "target", "precision")),
    "extract": Tool("Extract from two models", ("base", "tuned", "target", "rank", "share", "precision")),
}
_FIELDS: dict[str, tuple[str, str]] = {
    "source": ("LoRA file", "style.safetensors"),
    "sources": ("LoRA files", "one on each line, with a weight after a colon: style.safetensors:0.7"),
    "base": ("Base model", "a .safetensors file or a diffusers folder"),
    "tuned": ("Other model", "a .safetensors file or a diffusers folder"),
    "target": ("New file", "nothing is overwritten"),
    "rank": ("Ranks at most", "16"),
    "share": ("Share of norm", "0.95"),
}


class FilePanel:
    """The panel; ``run`` does the work, on a thread of its own, and returns a text to show.

    ``box`` is its widget, ``fields`` are what is typed into by name.
    """

    def __init__(self, *, run: Run) -> None:
        self._run = run
        self._working: threading.Thread | None = None
        wide = ipywidgets.Layout(width="auto")
        self.tool = ipywidgets.Dropdown(
            options=[(tool.words, name) for name, tool in TOOLS.items()], description="Tool", layout=wide
        )
        self.fields: dict[str, Any] = {
            name: (ipywidgets.Textarea if name == "sources" else ipywidgets.Text)(
                description=label, placeholder=hint, layout=wide
            )
            for name, (label, hint) in _FIELDS.items()
        }
        self.fields["dialect"] = ipywidgets.Dropdown(
            options=list(DIALECTS), description="Names of", layout=wide
        )
        self.fields["precision"] = ipywidgets.Dropdown(
            options=[("as in the source", ""), *((name, name) for name in SAVE_PRECISIONS)],
            description="Precision",
            layout=wide,
        )
        self.button = ipywidgets.Button(description="Run", button_style="primary")
        self.answer = ipywidgets.HTML(layout=wide)
        self._form = ipywidgets.VBox(layout=wide)
        self.box = ipywidgets.VBox(
            [ipywidgets.HTML(style_tag()), self.tool, self._form, self.button, self.answer], layout=wide
        )
        self.tool.observe(lambda _: self._show_fields(), "value")
        self.button.on_click(lambda _: self.start())
        self._show_fields()

    @property
    def chosen(self) -> str:
        """The name of the tool that is chosen."""
        return str(self.tool.value)

    def start(self) -> None:
        """Run the chosen tool in the background; a second click meanwhile does nothing."""
        if self._working is not None and self._working.is_alive():
            return
        self._working = threading.Thread(target=self.work, name="lora-widgets-file", daemon=True)
        self._working.start()

    def work(self) -> None:
        """Run the chosen tool on what is typed now, and show what it says."""
        given = {name: str(self.fields[name].value).strip() for name in TOOLS[self.chosen].fields}
        self.button.disabled = True
        self._say("Working ...")
        try:
            self._say(self._run(self.chosen, given, self._progress))
        except LoraWidgetsError as error:
            self._say(str(error))
        except Exception as error:  # the thread ends here, and nobody else would tell
            _LOG.exception("The tool %s failed", self.chosen)
            self._say(f"This is a mistake in the program: {type(error).__name__}: {error}")
        finally:
            self.button.disabled = False

    def _ipython_display_(self) -> None:
        """Show the panel."""
        from IPython.display import display

        display(self.box)

    def _progress(self, done: int, total: int) -> None:
        percent = 100 * done // max(total, 1)
        if percent != 100 * (done - 1) // max(total, 1):  # a message for each tensor would be too many
            self._say(f"Working ... {percent} %")

    def _say(self, text: str) -> None:
        self.answer.value = f'<pre style="white-space: pre-wrap">{html.escape(text)}</pre>'

    def _show_fields(self) -> None:
        self._form.children = [self.fields[name] for name in TOOLS[self.chosen].fields]
        self._say("")
