"""``lora-widgets settings [NAME]``: all settings in a table, or one of them explained."""

import argparse
import shutil
import textwrap
from itertools import groupby
from typing import TextIO

from lora_widgets.config.fields import FieldSpec, fields, fields_by_name
from lora_widgets.config.training_config import ALIASES, TrainingConfig, unknown_name
from lora_widgets.errors import ConfigError

NAME_WIDTH = 32  # the longest name and a gap
DEFAULT_WIDTH = 14
LIMITS_WIDTH = 24
MIN_HELP_WIDTH = 30


def run(options: argparse.Namespace, out: TextIO) -> int:
    """Print the table, or what is known about ``options.name``; return 0.

    Raises:
        ConfigError: there is no such setting.
    """
    if options.name is None:
        print(table(fields(TrainingConfig), width=shutil.get_terminal_size().columns), file=out)
        return 0
    specs = fields_by_name(TrainingConfig)
    names = ALIASES.get(options.name, (options.name,))
    if any(name not in specs for name in names):
        raise ConfigError(unknown_name(options.name))
    print("\n\n".join(explanation(specs[name]) for name in names), file=out)
    return 0


def table(specs: tuple[FieldSpec, ...], *, width: int) -> str:
    """Write name, default, limits and the first sentence of the help, under the panel's headings."""
    lines = []
    for (tab, group), members in groupby(specs, key=lambda spec: (spec.tab.value, spec.group)):
        lines += ["", f"{tab} / {group}"]
        lines += [_row(spec, width) for spec in members]
    return "\n".join(lines).lstrip("\n")


def explanation(spec: FieldSpec) -> str:
    """Write everything that is known about one setting."""
    facts = {
        "default": default_text(spec),
        "range": limits_text(spec),
        "choices": ", ".join(spec.choices),
        "unit": spec.unit,
        "acts": _condition(spec),
        "in the panel": f"{spec.tab.value} / {spec.group} / {spec.label}",
    }
    known = [f"  {name:<14}{fact}" for name, fact in facts.items() if fact]
    help_text = textwrap.fill(spec.help, 100, initial_indent="  ", subsequent_indent="  ")
    return "\n".join([spec.name, help_text, "", *known])


def default_text(spec: FieldSpec) -> str:
    """Write the default as it would be typed in a file."""
    if spec.required:
        return "(required)"
    if spec.default is None or spec.secret:
        return "(not set)"
    return _typed(spec.default)


def limits_text(spec: FieldSpec) -> str:
    """Write what values are possible; choices are counted, not listed."""
    if spec.choices:
        return f"one of {len(spec.choices)}"
    if spec.type is bool:
        return "true or false"
    low, high = spec.bounds.minimum, spec.bounds.maximum
    return str(spec.bounds) if low is None or high is None else f"{low:.12g} to {high:.12g}"


def _condition(spec: FieldSpec) -> str:
    if spec.not_yet:
        return "not yet: no part of this version reads it"
    if spec.only_when is None:
        return ""
    values = " or ".join(_typed(value) for value in spec.only_when.values)
    return f"only when {spec.only_when.setting} is {values}"


def _typed(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return '""' if value == "" else str(value)


def _row(spec: FieldSpec, width: int) -> str:
    name, default, limits = f"  {spec.name}", default_text(spec), limits_text(spec)
    head = f"{name:<{NAME_WIDTH}}{default:<{DEFAULT_WIDTH}} {limits:<{LIMITS_WIDTH}} "
    words = ("[not active yet] " if spec.not_yet else "") + spec.tooltip
    if width - len(head) < MIN_HELP_WIDTH:
        below = textwrap.fill(
            words, max(width, MIN_HELP_WIDTH), initial_indent="    ", subsequent_indent="    "
        )
        return f"{head.rstrip()}\n{below}"
    return textwrap.fill(head + words, width, subsequent_indent=" " * len(head))
