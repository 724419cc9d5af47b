"""The list of findings, and buttons that settle them with one click."""

import html
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import ipywidgets

from lora_widgets.config.fields import fields_by_name
from lora_widgets.config.findings import Finding, Fix, Severity
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.preview.numbers import counted
from lora_widgets.widgets.shared_look import SharedLook

MAX_BUTTONS = 8
REMEMBERED_BUTTONS = 32
LONGEST_SENTENCE = 600


def findings_html(findings: Sequence[Finding]) -> str:
    """Return the list: how serious, what, what to do, and where the settings are."""
    items = "".join(_item(finding) for finding in findings)
    rows = f'<ul class="lw-findings-list">{items}</ul>' if items else ""
    return (
        '<div class="lw-findings" role="status" aria-live="polite">'
        f'<div class="lw-findings-head">{verdict(findings)}</div>{rows}</div>'
    )


def verdict(findings: Sequence[Finding]) -> str:
    """Say in one line how many findings of each kind there are."""
    counts = {kind: sum(finding.severity is kind for finding in findings) for kind in Severity}
    said = [counted(count, kind.value) for kind, count in counts.items() if count]
    return ", ".join(said) or "Nothing to report: ready to train"


def place_of(setting: str) -> str:
    """Return where a setting is found: its tab, label and unit."""
    spec = fields_by_name(TrainingConfig).get(setting)
    if spec is None:
        return setting[:80]
    return f"{spec.tab.value}: {spec.label}{f' ({spec.unit})' if spec.unit else ''}"


class FindingsBox:
    """Shows findings; ``box`` is its widget.

    A button keeps its meaning for life, because a click may arrive after the list has changed: each fix has
    a button of its own, and a click on one that is no longer offered does nothing.

    Args:
        apply: makes the changes of a fix.
        look: makes the widgets.
    """

    def __init__(self, apply: Callable[[Mapping[str, object]], None], look: SharedLook) -> None:
        self._apply, self._look = apply, look
        self._list = look.make(ipywidgets.HTML, {}, css=("lw-findings-box",))
        self._row = look.make(ipywidgets.HBox, {}, css=("lw-fixes",))
        self._buttons: OrderedDict[str, ipywidgets.Button] = OrderedDict()
        self._offered: frozenset[str] = frozenset()
        self.box = look.make(ipywidgets.VBox, {"children": (self._list, self._row)}, css=())

    def show(self, findings: Sequence[Finding]) -> None:
        """Bring the list and the buttons up to date."""
        self._list.value = findings_html(findings)
        fixes = {_key(fix): (fix, finding) for finding in findings for fix in finding.fixes if fix.changes}
        shown = dict(list(fixes.items())[:MAX_BUTTONS])
        self._offered = frozenset(shown)
        self._row.children = tuple(self._button(key, *offer) for key, offer in shown.items())
        self._forget_old_buttons()

    def _button(self, key: str, fix: Fix, finding: Finding) -> ipywidgets.Button:
        if key not in self._buttons:
            self._buttons[key] = self._new_button(key, fix, tooltip=_cut(str(finding)))
        self._buttons.move_to_end(key)
        return self._buttons[key]

    def _new_button(self, key: str, fix: Fix, *, tooltip: str) -> ipywidgets.Button:
        traits = {"description": _cut(fix.label, 120), "tooltip": tooltip, "icon": "magic"}
        button = self._look.make(ipywidgets.Button, traits, css=("lw-fix",))
        button.on_click(lambda _: self._clicked(key, fix))
        return button

    def _clicked(self, key: str, fix: Fix) -> None:
        if key in self._offered:
            self._apply(fix.changes)

    def _forget_old_buttons(self) -> None:
        while len(self._buttons) > REMEMBERED_BUTTONS:
            _, button = self._buttons.popitem(last=False)
            button.close()


def _key(fix: Fix) -> str:
    return repr((fix.label, sorted(fix.changes.items())))


def _item(finding: Finding) -> str:
    kind = finding.severity.value
    places = ", ".join(place_of(name) for name in finding.settings)
    where = f'<span class="lw-where">{html.escape(places)}</span>' if places else ""
    remedy = f' <span class="lw-remedy">{_sentence(finding.remedy)}</span>' if finding.remedy else ""
    return (
        f'<li class="lw-finding lw-finding-{kind}"><span class="lw-severity">{kind.capitalize()}</span>'
        f'<div class="lw-finding-text">{_sentence(finding.sentence)}{remedy} {where}</div></li>'
    )


def _sentence(text: str) -> str:
    """Escape a sentence and set the names in `backticks` as code; user values may be of any length."""
    return re.sub(r"`([^`<>]{1,80})`", r"<code>\1</code>", html.escape(_cut(text)))


def _cut(text: str, longest: int = LONGEST_SENTENCE) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
