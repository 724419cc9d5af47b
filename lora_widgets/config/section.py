"""The base of all sections: frozen, strict about names, documented below each attribute."""

import os
from functools import cache
from types import NoneType
from typing import Any, ClassVar, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticKnownError

from lora_widgets.config.tabs import Tab


class Section(BaseModel):
    """A group of settings that belong together and are shown together.

    Subclasses name their place: ``class Buckets(Section, tab=Tab.LORA, group="Buckets")``. Values of settings
    are never changed in place; NaN and infinity are refused everywhere.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        str_max_length=100_000,
        # The values of a failed validation may hold a secret.
        hide_input_in_errors=True,
    )

    tab: ClassVar[Tab]
    group: ClassVar[str]

    def __init_subclass__(cls, *, tab: Tab | None = None, group: str | None = None, **options: Any) -> None:
        """Remember where the section is shown."""
        super().__init_subclass__(**options)
        if tab is not None and group is not None:
            cls.tab, cls.group = tab, group

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: Any) -> None:
        """Take the place keywords a second time, from pydantic, which has no use for them."""

    @field_validator("*", mode="before")
    @classmethod
    def _as_users_write_it(cls, value: object, info: ValidationInfo) -> object:
        """Read an empty text as "not set", a path as text, and refuse True where a number belongs.

        Paths are pasted with blanks around them, and from Windows in quotes.
        """
        name = info.field_name or ""
        if isinstance(value, str) and name in _paths(cls):
            value = unquoted(value)
        if value == "" and name in _optional(cls):
            return None
        if isinstance(value, os.PathLike):
            return os.fspath(cast("os.PathLike[str]", value))
        if isinstance(value, bool) and name in _numbers(cls):
            raise PydanticKnownError("int_type")
        return value


def unquoted(path: str) -> str:
    """Return a path without the blanks and the pair of quotes around it."""
    path = path.strip()
    is_quoted = len(path) > 1 and path[0] == path[-1] and path[0] in "\"'"
    return path[1:-1].strip() if is_quoted else path


@cache
def _paths(model: type[Section]) -> frozenset[str]:
    return frozenset(
        name
        for name, info in model.model_fields.items()
        if any(getattr(marker, "path", None) for marker in info.metadata)
    )


@cache
def _optional(model: type[Section]) -> frozenset[str]:
    return frozenset(
        name for name, info in model.model_fields.items() if NoneType in get_args(info.annotation)
    )


@cache
def _numbers(model: type[Section]) -> frozenset[str]:
    return frozenset(
        name
        for name, info in model.model_fields.items()
        if {int, float} & {info.annotation, *get_args(info.annotation)}
    )
