"""Extra arguments written as text: a JSON object, or ``name=value`` pairs."""

import ast
import json
import re
from collections.abc import Mapping
from typing import cast

# A pair ends where the next "name=" begins, so that values may hold commas, blanks and brackets.
_PAIR = re.compile(r"([A-Za-z_]\w*)\s*=\s*(.*?)(?=[\s,]+[A-Za-z_]\w*\s*=|[\s,]*$)", re.DOTALL)
_MAX_LENGTH = 10_000


def arguments_text(value: object) -> object:
    """Return a mapping as JSON text, and anything else unchanged."""
    if not isinstance(value, Mapping):
        return value
    try:
        return json.dumps(dict(cast("Mapping[str, object]", value)))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"it holds something that cannot be written as text ({error})") from None


def parse_arguments(text: str | None) -> dict[str, object]:
    """Parse ``{"eps": 1e-6}`` or ``eps=1e-6 betas=0.9,0.99``; empty text and None give no arguments.

    Raises:
        ValueError: the text is neither; the message says what was expected.
    """
    text = (text or "").strip()
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"it is longer than {_MAX_LENGTH} characters")
    if text.startswith("{"):
        return _parsed_json(text)
    rest = _PAIR.sub("", text).strip(" ,\n\t")
    if rest:
        raise ValueError(f"{rest[:40]!r} is not of the form name=value, separated by blanks")
    return {match[1]: _literal(match[2].strip()) for match in _PAIR.finditer(text)}


def _parsed_json(text: str) -> dict[str, object]:
    try:
        return cast("dict[str, object]", json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it begins like JSON but is none ({error})") from None


def _literal(text: str) -> object:
    """Read a Python literal; anything that is none, such as a bare word, stays text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {"true": True, "false": False}.get(text, text)
