"""How a value is entered: as text, as a secret, by a tick, by a choice. One widget each, and no checks.

An entry gives back what it was given, also what its widget cannot hold: the check then says what is wrong
with it, at the field.
"""

from typing import Protocol

import ipywidgets
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from lora_widgets.config.fields import FieldSpec, OneOf
from lora_widgets.widgets.shared_look import Outfit
from lora_widgets.widgets.written import written

NOT_SET = "not set"
Field = (
    ipywidgets.Text | ipywidgets.Textarea | ipywidgets.Password | ipywidgets.Checkbox | ipywidgets.Dropdown
)
_LONGEST_LABEL = 60
_FLAG = TypeAdapter(bool)


class Entry(Protocol):
    """What every way of entering a value offers."""

    @property
    def widget(self) -> Field:
        """The widget in which the value is entered."""
        ...

    def read(self) -> object:
        """Return what was entered, unchecked."""
        ...

    def write(self, value: object) -> None:
        """Show ``value``, as it is in a configuration or was read before."""
        ...


class TextEntry:
    """A line of text, or several; numbers and paths too, because the schema reads them better than a page."""

    def __init__(self, spec: FieldSpec, value: object, *, outfit: Outfit) -> None:
        kind = ipywidgets.Textarea if spec.multiline else ipywidgets.Text
        css = ("lw-wide",) if spec.multiline else ()
        own = {
            "value": written(value),
            "placeholder": NOT_SET if spec.optional else "",
            "continuous_update": False,
        }
        self.widget = outfit.make(kind, own, css=css)

    def read(self) -> str:
        """Return the text as typed."""
        return self.widget.value

    def write(self, value: object) -> None:
        """Show the value as people write it."""
        self.widget.value = written(value)


class SecretEntry:
    """A text that is never sent to the page: what was written stays here, and only "set" is shown."""

    def __init__(self, spec: FieldSpec, value: object, *, outfit: Outfit) -> None:
        self._kept = written(value)
        own = {"value": "", "placeholder": self._hint(), "continuous_update": False}
        self.widget = outfit.make(ipywidgets.Password, own)

    def read(self) -> str:
        """Return what was typed, else what was written."""
        return self.widget.value or self._kept

    def write(self, value: object) -> None:
        """Keep the value and empty the field."""
        self._kept = written(value)
        self.widget.value = ""
        self.widget.placeholder = self._hint()

    def _hint(self) -> str:
        return "set, not shown" if self._kept else NOT_SET


class FlagEntry:
    """A box to tick."""

    def __init__(self, spec: FieldSpec, value: object, *, outfit: Outfit) -> None:
        flag, self._unreadable = _flag(value)
        own = {"value": flag, "indent": False}
        self.widget = outfit.make(ipywidgets.Checkbox, own, css=("lw-flag",))
        self.widget.observe(self._on_tick, "value")

    def read(self) -> object:
        """Return whether it is ticked, or the value it could not show."""
        return self._unreadable[0] if self._unreadable else self.widget.value

    def write(self, value: object) -> None:
        """Tick or untick; a value that is neither is kept until the next tick."""
        flag, unreadable = _flag(value)
        self.widget.value = flag
        self._unreadable = unreadable

    def _on_tick(self, _: object) -> None:
        self._unreadable = ()


class ChoiceEntry:
    """One of the rows of a catalog; an unknown name becomes a choice marked as such."""

    def __init__(self, spec: FieldSpec, value: object, *, outfit: Outfit) -> None:
        self._names = OneOf(spec.table or {})
        self._known = _choices(spec)
        name = self._name(value)
        own = {"options": self._options_with(name), "value": name}
        self.widget = outfit.make(ipywidgets.Dropdown, own)

    def read(self) -> str:
        """Return the name chosen; an empty text stands for none."""
        return self.widget.value or ""

    def write(self, value: object) -> None:
        """Choose the row, in whatever spelling it is given."""
        name = self._name(value)
        options = self._options_with(name)
        with self.widget.hold_sync():
            if options != self.widget.options:
                self.widget.options = options
            self.widget.value = name

    def _name(self, value: object) -> str:
        text = written(value)
        try:
            return str(self._names.canonical(text)) if text else text
        except PydanticCustomError:
            return text

    def _options_with(self, name: str) -> tuple[tuple[str, str], ...]:
        if name in (known for _, known in self._known):
            return self._known
        return (*self._known, (f"{name[:_LONGEST_LABEL] or 'nothing'} (unknown)", name))


def _flag(value: object) -> tuple[bool, tuple[object, ...]]:
    """Read a value as the schema reads it; one that is no flag is given back beside False."""
    try:
        return _FLAG.validate_python(value), ()
    except ValidationError:
        return False, (value,)


def _choices(spec: FieldSpec) -> tuple[tuple[str, str], ...]:
    table = spec.table or {}
    choices = tuple((name, name) for name in table)
    return ((NOT_SET, ""), *choices) if spec.optional else choices
