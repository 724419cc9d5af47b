"""The label of a control as markup: name, unit, help, why it is greyed out, what is wrong with its value."""

import html
import re

import ipywidgets

from lora_widgets.config.fields import FieldSpec
from lora_widgets.widgets.view import FieldView

# Signs with which pages begin mathematics or their own placeholders, also inside a label. As entities they
# pass the page's reading of the markup, and alone in their elements its typesetting of the text.
_ACTIVE_SIGNS = re.compile(r"[$@\\]")


def label_html(spec: FieldSpec, view: FieldView) -> str:
    """Return the label; help and setting's name appear when the pointer rests on it."""
    parts = [html.escape(spec.label)]
    if spec.unit:
        parts.append(f'<span class="lw-unit">{html.escape(spec.unit)}</span>')
    if view.reason:
        parts.append(f'<span class="lw-reason">{sentence_html(view.reason)}</span>')
    if view.error:
        parts.append(f'<span class="lw-error">{sentence_html(view.error)}</span>')
    return f'<span title="{html.escape(help_text(spec), quote=True)}">{" ".join(parts)}</span>'


def help_text(spec: FieldSpec) -> str:
    """Return what is shown when the pointer rests on a label."""
    return f"{spec.help} ({spec.name})"


def sentence_html(text: str) -> str:
    """Escape a sentence, so that nothing in it is markup or mathematics; `names` are set as code."""
    safe = _ACTIVE_SIGNS.sub(lambda sign: f"<span>&#{ord(sign[0])};</span>", html.escape(text))
    return re.sub(r"`([a-z0-9_]+)`", r"<code>\1</code>", safe)


def label_traits(spec: FieldSpec) -> dict[str, object]:
    """Return what a widget must be told so that its label may be markup, in ipywidgets 7 and 8."""
    if "description_allow_html" in ipywidgets.Text.class_traits():
        return {"description_allow_html": True}
    # Version 7 shows markup anyway, and without a tooltip of its own the markup's text as one.
    return {"description_tooltip": help_text(spec)}
