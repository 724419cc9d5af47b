"""Checks of single values that need more than a type and limits."""

import re

from pydantic_core import PydanticCustomError, PydanticKnownError

MIN_RESOLUTION = 64
MAX_RESOLUTION = 8192
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_SIZE = re.compile(r"\s*(\d{1,6})\s*(?:[,xX]\s*(\d{1,6})\s*)?")


def file_name(text: str) -> str:
    """Accept a name that is a safe file name on every system."""
    if not _SAFE_NAME.fullmatch(text) or text.endswith("."):
        raise PydanticCustomError(
            "not_a_file_name",
            "must be 1 to 100 letters, digits, '-', '_' or '.', not beginning or ending with '.'",
        )
    return text


def file_name_or_empty(text: str) -> str:
    """Accept a safe file name or nothing."""
    return file_name(text) if text else text


def picture_size(value: object) -> object:
    """Accept a side in pixels, or "width,height"; one number in text becomes a number.

    Raises:
        PydanticKnownError: a side is out of range.
        PydanticCustomError: the text is not of that form.
    """
    sides = _sides(value)
    if sides is None:
        return value
    if min(sides) < MIN_RESOLUTION:
        raise PydanticKnownError("greater_than_equal", {"ge": MIN_RESOLUTION})
    if max(sides) > MAX_RESOLUTION:
        raise PydanticKnownError("less_than_equal", {"le": MAX_RESOLUTION})
    return sides[0] if len(sides) == 1 else ",".join(map(str, sides))


def _sides(value: object) -> tuple[int, ...] | None:
    """Read the sides; None for a value of a type that the schema itself refuses."""
    if isinstance(value, int):
        return (value,)
    if isinstance(value, float) and value.is_integer():
        return (int(value),)
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        return tuple(int(side) for side in match.groups() if side is not None)
    if isinstance(value, str):
        raise PydanticCustomError(
            "not_a_resolution", 'must be a number, or "width,height" such as "832,1216"'
        )
    return None
