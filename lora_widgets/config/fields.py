"""What is known about each setting, derived from its one declaration.

Markers go into ``Annotated[...]`` beside the type; ``fields`` turns a section, or the whole configuration,
into the list of ``FieldSpec`` from which forms, documentation, command line and files are made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

import annotated_types as limits
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SecretStr
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from lora_widgets.config.section import Section
from lora_widgets.config.tabs import Tab

MarkerT = TypeVar("MarkerT")


@dataclass(frozen=True)
class Ui:
    """How a setting is called and entered; ``reason`` says why its limits are what they are."""

    label: str
    unit: str = ""
    multiline: bool = False
    path: Literal["file", "folder"] | None = None
    reason: str = ""


@dataclass(frozen=True)
class OnlyWhen:
    """The setting acts only while another setting has one of these values."""

    setting: str
    values: tuple[object, ...]

    def __init__(self, setting: str, *values: object) -> None:
        object.__setattr__(self, "setting", setting)
        object.__setattr__(self, "values", values)

    @classmethod
    def on(cls, switch: str) -> "OnlyWhen":
        """Make the setting act only while a switch is on."""
        return cls(switch, *(True,))


@dataclass(frozen=True)
class NotYet:
    """No code of this version acts on the setting."""


@dataclass(frozen=True, eq=False)
class OneOf:
    """The value is the name of a row of ``table``; case, blanks and signs are forgiven where they can be."""

    table: Mapping[str, Any]

    def canonical(self, value: object) -> object:
        """Return the row's own spelling of ``value``; values that are no text pass through."""
        if isinstance(value, bytes | bytearray):  # pydantic would take these for text after this check
            value = value.decode("utf-8", "replace")
        if not isinstance(value, str) or value in self.table:
            return value
        known = self._spellings().get(_plain(value))
        if known is None:
            raise PydanticCustomError("unknown_choice", "unknown choice", {"choices": tuple(self.table)})
        return known

    def _spellings(self) -> dict[str, str]:
        return _spellings(tuple((name, *getattr(row, "aliases", ())) for name, row in self.table.items()))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.canonical, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "enum": list(self.table)}


@cache
def _spellings(names: tuple[tuple[str, ...], ...]) -> dict[str, str]:
    """Map every clear spelling to the row's name; a spelling that two rows share is left out."""
    found: dict[str, set[str]] = {}
    for spellings in names:
        for spelling in spellings:
            found.setdefault(_plain(spelling), set()).add(spellings[0])
    return {spelling: rows.pop() for spelling, rows in found.items() if len(rows) == 1}


def _plain(text: str) -> str:
    return "".join(sign for sign in text[:80].casefold() if sign.isalnum())


@dataclass(frozen=True)
class Bounds:
    """Limits of a number; ``above`` and ``below`` are excluded themselves.

    Derived from pydantic's own limits; as a marker it describes what a validator of ours enforces.
    """

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None

    def __str__(self) -> str:
        """Say the limits in words, for example "at least 1 and at most 12"."""
        parts = (
            ("at least", self.minimum),
            ("above", self.above),
            ("at most", self.maximum),
            ("below", self.below),
        )
        return " and ".join(f"{word} {limit:.12g}" for word, limit in parts if limit is not None)


@dataclass(frozen=True)
class FieldSpec:
    """Everything known about one setting.

    ``type`` is the declared type without None (``optional`` says whether None is allowed); ``default`` is
    None for a required setting; ``choices`` are the names of the catalog's rows, empty for a free value.
    """

    name: str
    section: str
    tab: Tab
    group: str
    type: Any
    optional: bool
    required: bool
    default: object
    bounds: Bounds
    choices: tuple[str, ...]
    label: str
    help: str
    unit: str
    reason: str
    multiline: bool
    path: Literal["file", "folder"] | None
    only_when: OnlyWhen | None
    not_yet: bool
    secret: bool
    table: Mapping[str, Any] | None = None

    @property
    def tooltip(self) -> str:
        """The first sentence of the help."""
        first, dot, _ = self.help.partition(". ")
        return first + "." if dot else first


@cache
def fields(model: type[Section]) -> tuple[FieldSpec, ...]:
    """List the settings of a section or of a whole configuration, in display order."""
    # pydantic lists inherited fields in reverse order of the bases; the bases themselves are in display
    # order.
    sections = [base for base in model.__bases__ if issubclass(base, Section) and base is not Section]
    return tuple(
        _spec(name, section.model_fields[name], section)
        for section in sections or [model]
        for name in section.model_fields
    )


@cache
def fields_by_name(model: type[Section]) -> Mapping[str, FieldSpec]:
    """Give each setting of ``model`` by its name, in display order."""
    return {spec.name: spec for spec in fields(model)}


def unmet(spec: FieldSpec, config: Section) -> OnlyWhen | None:
    """Return the condition that keeps a setting from acting: its own, or first that of what it hangs on."""
    when = spec.only_when
    if when is None:
        return None
    above = unmet(fields_by_name(type(config))[when.setting], config)
    return above or (None if getattr(config, when.setting) in when.values else when)


def _spec(name: str, info: FieldInfo, section: type[Section]) -> FieldSpec:
    ui = _marker(info, Ui) or Ui(label=name)
    one_of = _marker(info, OneOf)
    declared, optional = _without_none(info.annotation)
    return FieldSpec(
        name=name,
        section=section.__name__,
        tab=section.tab,
        group=section.group,
        type=declared,
        optional=optional,
        required=info.is_required(),
        default=None if info.is_required() else info.default,
        bounds=_bounds(info),
        choices=tuple(one_of.table) if one_of else (),
        label=ui.label,
        help=" ".join((info.description or "").split()),
        unit=ui.unit,
        reason=ui.reason,
        multiline=ui.multiline,
        path=ui.path,
        only_when=_marker(info, OnlyWhen),
        not_yet=_marker(info, NotYet) is not None,
        secret=declared is SecretStr,
        table=one_of.table if one_of else None,
    )


def _marker(info: FieldInfo, kind: type[MarkerT]) -> MarkerT | None:
    return next((marker for marker in info.metadata if isinstance(marker, kind)), None)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) not in (Union, UnionType):
        return annotation, False
    kinds = tuple(kind for kind in get_args(annotation) if kind is not NoneType)
    optional = len(kinds) < len(get_args(annotation))
    return (kinds[0] if len(kinds) == 1 else cast("Any", Union[kinds])), optional  # noqa: UP007 - built from a tuple


def _bounds(info: FieldInfo) -> Bounds:
    declared = _marker(info, Bounds)
    if declared is not None:
        return declared
    found: dict[str, Any] = {}
    for marker in info.metadata:
        match marker:
            case limits.Ge():
                found["minimum"] = marker.ge
            case limits.Gt():
                found["above"] = marker.gt
            case limits.Le():
                found["maximum"] = marker.le
            case limits.Lt():
                found["below"] = marker.lt
            case _:
                pass
    return Bounds(**found)
