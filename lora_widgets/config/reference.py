"""The reference of all settings and adapter types, as Markdown, made from their declarations."""

from itertools import groupby

from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.config.fields import FieldSpec, fields
from lora_widgets.config.training_config import TrainingConfig


def settings_table() -> str:
    """Return one Markdown table per tab with every setting: name, default, values, meaning."""
    parts: list[str] = []
    for tab, specs in groupby(fields(TrainingConfig), key=lambda spec: spec.tab):
        rows = "\n".join(_row(spec) for spec in specs)
        head = "| Setting | Default | Values | Meaning |\n|---|---|---|---|"
        parts.append(f"### {tab.value}\n\n{head}\n{rows}")
    return "\n\n".join(parts) + "\n"


def types_table() -> str:
    """Return a Markdown table of the adapter types: what each is, and what reads its files."""
    head = "| Type | What it is | Files are read by | Tools need the base model |\n|---|---|---|---|"
    cells = (
        (row.name, _cell(row.summary), ", ".join(row.read_by), "yes" if row.needs_base else "no")
        for row in LORA_TYPES.values()
    )
    return "\n".join([head, *(f"| {' | '.join(row)} |" for row in cells)]) + "\n"


def _row(spec: FieldSpec) -> str:
    meaning = f"{spec.help}{_when(spec)}{' *Not active yet.*' if spec.not_yet else ''}"
    return f"| `{spec.name}` | {_default(spec)} | {_cell(_values(spec))} | {_cell(meaning)} |"


def _default(spec: FieldSpec) -> str:
    if spec.required:
        return "*required*"
    if spec.default in (None, ""):
        return "empty"
    return f"`{str(spec.default).lower() if spec.type is bool else _cell(str(spec.default))}`"


def _values(spec: FieldSpec) -> str:
    if spec.choices:
        return ", ".join(spec.choices)
    if spec.type is bool:
        return "true, false"
    kind = {int: "whole number", float: "number"}.get(spec.type, "text")
    words = (kind, str(spec.bounds), f"({spec.unit})" if spec.unit else "")
    return " ".join(word for word in words if word)


def _when(spec: FieldSpec) -> str:
    when = spec.only_when
    if when is None:
        return ""
    values = (str(value).lower() if isinstance(value, bool) else str(value) for value in when.values)
    return f" Only with `{when.setting}` {' or '.join(values)}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
