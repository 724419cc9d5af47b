"""The form: seven tabs with every setting, generated from the schema."""

import html
from collections.abc import Callable, Mapping
from itertools import groupby

import ipywidgets

from lora_widgets.config.fields import FieldSpec, fields, fields_by_name
from lora_widgets.config.findings import check
from lora_widgets.config.tabs import Tab
from lora_widgets.config.training_config import TrainingConfig, canonical, unknown_name
from lora_widgets.errors import ConfigError
from lora_widgets.widgets.controls import controls
from lora_widgets.widgets.shared_look import SharedLook
from lora_widgets.widgets.view import FieldView, field_views, tab_errors


class Form:
    """Every setting in a control; ``box`` is the widget.

    A view: it holds what was entered and shows what it is told. ``on_change`` is called after each change by
    the user, on whatever thread the kernel chose, and never for values written by the program. ``below`` is
    shown at the end of a tab.
    """

    def __init__(
        self,
        values: Mapping[str, object],
        on_change: Callable[[], None],
        below: Mapping[Tab, ipywidgets.DOMWidget] | None = None,
    ) -> None:
        given = {**_defaults(), **_named(values)}
        draft = check(given)
        specs = fields(TrainingConfig)
        look = SharedLook()
        self._controls = controls(specs, look=look, values=given, views=field_views(draft))
        self._titles: dict[Tab, str] = {}
        self.box = look.make(
            ipywidgets.Tab, {"children": self._pages(specs, look, below or {})}, css=("lw-form",)
        )
        self.box.selected_index = 0
        self._title(tab_errors(draft))
        for control in self._controls.values():
            control.on_change(on_change)

    @property
    def values(self) -> dict[str, object]:
        """What was entered for each setting, unchecked."""
        return {name: control.read() for name, control in self._controls.items()}

    def load(self, values: Mapping[str, object]) -> None:
        """Show ``values``, and the default of every setting not among them; nobody is notified.

        Raises:
            ConfigError: a name is no setting; nothing is changed then.
        """
        self._write({**_defaults(), **_named(values)})

    def change(self, values: Mapping[str, object]) -> None:
        """Show ``values`` and leave the other settings as they are; nobody is notified.

        Raises:
            ConfigError: a name is no setting; nothing is changed then.
        """
        self._write(_named(values))

    def show(self, views: Mapping[str, FieldView], errors: Mapping[Tab, int]) -> None:
        """Bring labels, visibility and titles up to date, sending only what changed."""
        for name, view in views.items():
            self._controls[name].show(view)
        self._title(errors)

    def _write(self, values: Mapping[str, object]) -> None:
        for name, value in values.items():
            self._controls[name].write(value)

    def _pages(
        self, specs: tuple[FieldSpec, ...], look: SharedLook, below: Mapping[Tab, ipywidgets.DOMWidget]
    ) -> list[ipywidgets.Box]:
        by_tab = {tab: [spec for spec in specs if spec.tab is tab] for tab in Tab}
        return [
            self._page(of_tab, look, last=(below[tab],) if tab in below else ())
            for tab, of_tab in by_tab.items()
        ]

    def _page(
        self, specs: list[FieldSpec], look: SharedLook, *, last: tuple[ipywidgets.DOMWidget, ...]
    ) -> ipywidgets.Box:
        """Lay the settings of a tab out in one grid, each group under its heading."""
        children: list[ipywidgets.DOMWidget] = []
        for group, of_group in groupby(specs, key=lambda spec: spec.group):
            heading = f'<h3 class="lw-group">{html.escape(group)}</h3>'
            children.append(look.make(ipywidgets.HTML, {"value": heading}, css=("lw-heading", "lw-wide")))
            children.extend(self._controls[spec.name].widget for spec in of_group)
        return look.make(ipywidgets.Box, {"children": (*children, *last)}, css=("lw-grid",))

    def _title(self, errors: Mapping[Tab, int]) -> None:
        for place, tab in enumerate(Tab):
            count = errors.get(tab, 0)
            title = f"{tab.value} ({count})" if count else tab.value
            if self._titles.get(tab) != title:
                self._titles[tab] = title
                self.box.set_title(place, title)


def _defaults() -> dict[str, object]:
    return {spec.name: spec.default for spec in fields(TrainingConfig)}


def _named(values: Mapping[str, object]) -> dict[str, object]:
    """Give each setting its own name, where another one was used."""
    named = canonical(values)
    for name in named:
        if name not in fields_by_name(TrainingConfig):
            raise ConfigError(unknown_name(str(name)))
    return named
