"""Say what is wrong with single values, in the user's words instead of pydantic's."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lora_widgets.catalog.other_names import INSTEAD
from lora_widgets.config.fields import FieldSpec, fields_by_name
from lora_widgets.config.names import closest
from lora_widgets.config.rules.rule import Finding, Fix, Severity
from lora_widgets.config.training_config import ALIASES, TrainingConfig, unknown_name

_LIMITS: Mapping[str, tuple[str, str]] = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}
_KINDS: Mapping[str, str] = {
    "int": "must be a whole number",
    "float": "must be a number",
    "finite": "must be a finite number",
    "bool": "must be true or false",
    "string": "must be text",
    "is": "must be text",
    "model": "must be a table of settings and values",
}
_LONGEST_VALUE = 60


def invalid_findings(error: ValidationError) -> tuple[Finding, ...]:
    """Turn the errors of a failed validation into findings, one for each setting."""
    findings: dict[str, Finding] = {}
    for details in error.errors(include_url=False):
        name = str(details["loc"][0]) if details["loc"] else ""
        findings.setdefault(name, _finding(name, details))
    places = {name: place for place, name in enumerate(fields_by_name(TrainingConfig))}
    return tuple(findings[name] for name in sorted(findings, key=lambda name: places.get(name, len(places))))


def shown(value: object) -> str:
    """Write a value so that it fits into a sentence; never raises for the values a file can hold."""
    try:
        text = repr(value) if isinstance(value, str) else str(value)
    except ValueError:  # an integer too long for Python's limit on digits
        return "a number with thousands of digits"
    if not isinstance(value, str | int | float | bool | None):
        text = f"{text} ({type(value).__name__})"
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _finding(name: str, details: ErrorDetails) -> Finding:
    spec = fields_by_name(TrainingConfig).get(name)
    if spec is None:
        return _unknown(name, details)
    if details["type"] == "missing":
        return Finding(Severity.ERROR, (name,), f"`{name}` is not set.", f"It is needed. {spec.help}")
    # None where a value belongs, and a value of the wrong kind, read alike.
    value = "hidden" if spec.secret else shown(details["input"])
    message = f"`{name}` is {value}, but {_demand(spec, details)}{_why(spec, details)}."
    return Finding(Severity.ERROR, (name,), message, _remedy(spec), _back_to_default(spec))


def _unknown(name: str, details: ErrorDetails) -> Finding:
    if not name:
        return Finding(Severity.ERROR, (), f"The settings {_KINDS['model']}.", "Give them by name.")
    known = [*TrainingConfig.model_fields, *ALIASES]
    remedy = "Correct the name." if closest(name, known) else "Remove it."
    remedy = "" if name in INSTEAD else remedy  # the message says it
    return Finding(Severity.ERROR, (name[:80],), unknown_name(name), remedy)


def _demand(spec: FieldSpec, details: ErrorDetails) -> str:
    """Say what the value must be."""
    kind, context = details["type"], details.get("ctx") or {}
    if kind in _LIMITS:
        word, key = _LIMITS[kind]
        return f"must be {word} {_plain_number(context[key])}"
    match kind:
        case "unknown_choice":
            demand = f"must be one of: {', '.join(spec.choices)}"
        case "multiple_of":
            demand = f"must be a multiple of {_plain_number(context['multiple_of'])}"
        case "string_too_short":
            demand = "must not be empty"
        case "string_too_long":
            demand = f"must be at most {context['max_length']} characters long"
        case "value_error":
            demand = str(context["error"])
        case "not_a_file_name" | "not_a_resolution":
            demand = details["msg"]
        case _:
            demand = _KINDS.get(kind.partition("_")[0], "must be of another kind")
    return demand


def _plain_number(limit: Any) -> str:
    return f"{limit:.12g}"


def _why(spec: FieldSpec, details: ErrorDetails) -> str:
    return f": {spec.reason}" if spec.reason and details["type"] in {*_LIMITS, "not_a_file_name"} else ""


def _remedy(spec: FieldSpec) -> str:
    default = "" if spec.required or spec.default in (None, "") else f" The default is {shown(spec.default)}."
    if spec.choices:
        return f"Choose one of them.{default}"
    limits = str(spec.bounds)
    return f"Set it to a value {limits}.{default}" if limits else f"{spec.tooltip}{default}"


def _back_to_default(spec: FieldSpec) -> Fix | None:
    if spec.required:
        return None
    default = "nothing" if spec.default in (None, "") else shown(spec.default)
    return Fix(f"Set {spec.name} to {default}", {spec.name: spec.default})
