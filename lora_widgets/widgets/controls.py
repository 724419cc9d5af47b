"""One control for each setting, made from its declaration alone."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from lora_widgets.config.fields import FieldSpec
from lora_widgets.widgets.entries import ChoiceEntry, Entry, FlagEntry, SecretEntry, TextEntry
from lora_widgets.widgets.labels import label_html, label_traits
from lora_widgets.widgets.shared_look import Outfit, SharedLook
from lora_widgets.widgets.view import FieldView

_NOTHING: Mapping[str, object] = MappingProxyType({})
_UNSEEN: Mapping[str, FieldView] = MappingProxyType({})


class Control:
    """A setting in the form: its value, and how it is shown. It knows nothing of other settings."""

    def __init__(self, spec: FieldSpec, entry: Entry, *, view: FieldView) -> None:
        self.spec = spec
        self.widget = entry.widget
        self._entry = entry
        self._shown = view
        self._listener: Callable[[object], None] | None = None

    def read(self) -> object:
        """Return what was entered, unchecked: the text as typed, a bool, or the name of a choice."""
        return self._entry.read()

    def write(self, value: object) -> None:
        """Show ``value``; whoever listens hears nothing of it."""
        if self._listener is not None:
            self.widget.unobserve(self._listener, "value")
        try:
            self._entry.write(value)
        finally:
            if self._listener is not None:
                self.widget.observe(self._listener, "value")

    def show(self, view: FieldView) -> None:
        """Bring label, visibility and state up to date, sending only what changed."""
        if view == self._shown:
            return
        self.widget.description = label_html(self.spec, view)
        self.widget.disabled = not view.enabled
        self._mark(view)
        self._shown = view

    def on_change(self, heard: Callable[[], None]) -> None:
        """Call ``heard`` when the user changes the value; there is one listener."""
        self._listener = lambda _: heard()
        self.widget.observe(self._listener, "value")

    def _mark(self, view: FieldView) -> None:
        for css, applies in _marks(view).items():
            if applies:
                self.widget.add_class(css)
            else:
                self.widget.remove_class(css)


def controls(
    specs: Iterable[FieldSpec],
    *,
    look: SharedLook | None = None,
    values: Mapping[str, object] = _NOTHING,
    views: Mapping[str, FieldView] = _UNSEEN,
) -> dict[str, Control]:
    """Make a control for each setting, showing its value (else the default) and its view from the start."""
    look = look or SharedLook()
    return {
        spec.name: _control(spec, values.get(spec.name, spec.default), views=views, look=look)
        for spec in specs
    }


def _control(spec: FieldSpec, value: object, *, views: Mapping[str, FieldView], look: SharedLook) -> Control:
    view = views.get(spec.name, FieldView())
    traits = {
        "description": label_html(spec, view),
        "disabled": not view.enabled,
        **label_traits(spec),
    }
    outfit = Outfit(look, traits, css=tuple(css for css, applies in _marks(view).items() if applies))
    entry = _entry_kind(spec)(spec, value, outfit=outfit)
    return Control(spec, entry, view=view)


def _entry_kind(spec: FieldSpec) -> type[TextEntry | SecretEntry | FlagEntry | ChoiceEntry]:
    if spec.secret:
        return SecretEntry
    if spec.type is bool:
        return FlagEntry
    return ChoiceEntry if spec.table is not None else TextEntry


def _marks(view: FieldView) -> dict[str, bool]:
    return {"lw-hide": not view.visible, "lw-off": not view.enabled, "lw-bad": bool(view.error)}
