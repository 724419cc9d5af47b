"""What an argument of an optimizer may be: checked before the run, and told in words."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeGuard, cast


@dataclass(frozen=True)
class Kind:
    """A kind of value: whether one is of it, and how it is called and written."""

    words: str
    example: str
    accepts: Callable[[object], bool]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_at_least_0(value: object) -> bool:
    return _is_number(value) and 0 <= value < math.inf


def _is_positive(value: object) -> bool:
    return _is_number(value) and value > 0


def _is_share(value: object) -> bool:
    return _is_number(value) and 0 <= value < 1


def _are_shares(value: object, count: int) -> bool:
    if not isinstance(value, list | tuple):
        return False
    parts = cast("Sequence[object]", value)
    return len(parts) == count and all(map(_is_share, parts))


FLAG = Kind("True or False", "True", lambda value: isinstance(value, bool))
NUMBER = Kind("a number of at least 0", "1.0", _is_at_least_0)
POSITIVE = Kind("a number above 0", "1.0", _is_positive)
ANY_NUMBER = Kind("a number", "-0.8", _is_number)
SHARE = Kind("a number from 0 to below 1", "0.9", _is_share)
SMALL = Kind("a small number", "1e-8", _is_share)
COUNT = Kind(
    "a whole number of at least 0", "5", lambda value: isinstance(value, int) and _is_at_least_0(value)
)
BETAS = Kind("two numbers from 0 to below 1", "0.9,0.999", lambda value: _are_shares(value, 2))
THREE_BETAS = Kind("three numbers from 0 to below 1", "0.9,0.999,0.9999", lambda value: _are_shares(value, 3))
TWO_SMALL = Kind("two small numbers", "1e-30,1e-3", lambda value: _are_shares(value, 2))


def or_none(kind: Kind) -> Kind:
    """Allow None beside a kind of value, which means that the optimizer decides."""
    return Kind(f"{kind.words}, or None", kind.example, lambda value: value is None or kind.accepts(value))
