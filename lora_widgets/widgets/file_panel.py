"""A small panel for tools on LoRA files: choose a tool, type paths, press the button, read what came out."""

import html
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ipywidgets

from lora_widgets.catalog.formats import DIALECTS, SAVE_PRECISIONS
from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.errors import LoraWidgetsError
from lora_widgets.widgets.markup import html_widget, style_tag

Progress = Callable[[int, int], None]
Run = Callable[[str, Mapping[str, str], Progress], str]
_LOG = logging.getLogger(__name__)
_WORKING, _DONE, _WRONG = "lw-tools-working", "lw-tools-done", "lw-tools-wrong"


_NEED_BASE = ", ".join(row.name for row in LORA_TYPES.values() if row.needs_base)
_ONLY_SOME_NEED_BASE = {"base": f"needed only for {_NEED_BASE}"}


@dataclass(frozen=True)
class Tool:
    """A tool's name in words, what it does, and the fields that it reads, some with ``hints`` of its own."""

    words: str
    about: str
    fields: tuple[str, ...]
    hints: Mapping[str, str] = field(default_factory=dict[str, str])


TOOLS = {
    "inspect": Tool(
        "Look into a file",
        "Tells the family, types, ranks, number format, hashes and metadata of a file.",
        ("source",),
    ),
    "check": Tool(
        "Check a file",
        "Looks for broken numbers and unknown tensors; with a base model also for sizes that do not fit it.",
        ("source", "base"),
        {"base": "may be left empty"},
    ),
    "convert": Tool(
        "Convert the names",
        "Writes a file again with the names of another program.",
        ("source", "target", "dialect", "precision"),
    ),
    "resize": Tool(
        "Resize the rank",
        "Writes a file of any type again as LoRA with fewer ranks. Give the most ranks, a share, or both.",
        ("source", "target", "rank", "share", "base", "precision"),
        _ONLY_SOME_NEED_BASE,
    ),
    "merge": Tool(
        "Merge files",
        "Writes the weighted sum of files of any type: exactly, or with as many ranks as you say.",
        ("sources", "target", "rank", "share", "base", "precision"),
        _ONLY_SOME_NEED_BASE,
    ),
    "merge-into": Tool(
        "Merge into a model",
        "Writes a base model with the changes of LoRA files of any type in it.",
        ("base", "sources", "target", "precision"),
    ),
    "extract": Tool(
        "Extract from two models",
        "Writes the LoRA that turns a base model into another one. Give the most ranks, a share, or both.",
        ("base", "tuned", "target", "rank", "share", "precision"),
    ),
}
_FIELDS: dict[str, tuple[str, str]] = {
    "source": ("LoRA file", "style.safetensors"),
    "sources": ("LoRA files", "one on each line, with a weight after a colon: style.safetensors:0.7"),
    "base": ("Base model", "a .safetensors file or a diffusers folder"),
    "tuned": ("Other model", "a .safetensors file or a diffusers folder"),
    "target": ("New file", "nothing is overwritten"),
    "rank": ("Ranks at most", "for example 16"),
    "share": ("Share of norm", "for example 0.95"),
}


class FilePanel:
    """The panel; ``run`` does the work, on a thread of its own, and returns a text to show.

    ``box`` is its widget, ``fields`` are what is typed into by name.
    """

    def __init__(self, *, run: Run) -> None:
        self._run = run
        self._working: threading.Thread | None = None
        self.tool = self._labelled(
            ipywidgets.Dropdown, "Tool", options=[(tool.words, name) for name, tool in TOOLS.items()]
        )
        self.fields: dict[str, Any] = {
            name: self._labelled(ipywidgets.Textarea if name == "sources" else ipywidgets.Text, label)
            for name, (label, _) in _FIELDS.items()
        }
        self.fields["dialect"] = self._labelled(ipywidgets.Dropdown, "Names of", options=list(DIALECTS))
        formats = [("as in the source", ""), *((name, name) for name in SAVE_PRECISIONS)]
        self.fields["precision"] = self._labelled(ipywidgets.Dropdown, "Precision", options=formats)
        for entry in self.fields.values():
            entry.add_class("lw-tools-field")
        self.about = html_widget(css_class="lw-tools-about", layout=_wide())
        self.button = ipywidgets.Button(description="Run")
        self.button.add_class("lw-tools-run")
        self.answer = html_widget(css_class="lw-tools-answer", layout=_wide())
        self.form = ipywidgets.VBox(layout=_wide())
        style = html_widget(style_tag(), css_class="lw-style", layout=_wide())
        self.box = ipywidgets.VBox(
            [style, self.tool, self.about, self.form, self.button, self.answer], layout=_wide()
        )
        self.box.add_class("lw-tools")
        self.tool.observe(lambda _: self._show_fields(), "value")
        self.button.on_click(lambda _: self.start())
        self._show_fields()

    @staticmethod
    def _labelled(kind: type[Any], label: str, **options: Any) -> Any:
        """Make an entry with a label that is wide enough to be read."""
        return kind(description=label, layout=_wide(), style={"description_width": "112px"}, **options)

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
        self._say("Working ...", _WORKING)
        try:
            self._say(self._run(self.chosen, given, self._progress), _DONE)
        except LoraWidgetsError as error:
            self._say(str(error), _WRONG)
        except Exception as error:  # the thread ends here, and nobody else would tell
            _LOG.exception("The tool %s failed", self.chosen)
            self._say(f"This is a mistake in the program: {type(error).__name__}: {error}", _WRONG)
        finally:
            self.button.disabled = False

    def _ipython_display_(self) -> None:
        """Show the panel."""
        from IPython.display import display

        display(self.box)

    def _progress(self, done: int, total: int) -> None:
        percent = 100 * done // max(total, 1)
        if percent != 100 * (done - 1) // max(total, 1):  # a message for each tensor would be too many
            self._say(f"Working ... {percent} %", _WORKING)

    def _say(self, text: str, kind: str) -> None:
        """Show a text; ``kind`` is the CSS class that colours it."""
        self.answer.value = f'<pre class="lw-tools-said {kind}">{html.escape(text)}</pre>'

    def _show_fields(self) -> None:
        tool = TOOLS[self.chosen]
        for name, (_, hint) in _FIELDS.items():
            self.fields[name].placeholder = tool.hints.get(name, hint)
        self.form.children = [self.fields[name] for name in tool.fields]
        self.about.value = html.escape(tool.about)
        self.answer.value = ""


def _wide() -> ipywidgets.Layout:
    return ipywidgets.Layout(width="auto")
