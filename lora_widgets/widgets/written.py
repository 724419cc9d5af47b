"""Values as people write them into a form."""

import os
from collections.abc import Mapping
from typing import cast

from pydantic import SecretStr

from lora_widgets.config.arguments import arguments_text


def written(value: object) -> str:
    """Return the text that stands for ``value`` in a form; read by the schema it gives the value again.

    Never raises. None is the empty text. Half characters, which cannot be sent to a page, become "?".
    """
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return _plain(value).encode("utf-8", "replace").decode("utf-8")


def _plain(value: object) -> str:
    match value:
        case str():
            return value
        case float():
            return _short(value)
        case os.PathLike():
            return os.fsdecode(cast("os.PathLike[str]", value))
        case Mapping():
            return _arguments(cast("Mapping[str, object]", value))
        case int() if not isinstance(value, bool) and value.bit_length() > 10_000:
            return hex(value)  # Python refuses to write so many decimal digits
        case _:
            return str(value)


def _short(number: float) -> str:
    """Write 1e-5 for 1e-05 and 8 for 8.0."""
    mantissa, e, exponent = repr(number).partition("e")
    mantissa = mantissa.removesuffix(".0")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def _arguments(values: Mapping[str, object]) -> str:
    try:
        return str(arguments_text(values))
    except ValueError:
        return str(values)
