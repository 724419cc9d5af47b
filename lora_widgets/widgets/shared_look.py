"""Widgets that share their layout and styles."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import ipywidgets

WidgetT = TypeVar("WidgetT", bound=ipywidgets.DOMWidget)


class SharedLook:
    """Makes widgets with one layout for all and one style for each class of widgets.

    A layout and a style of its own for each widget would be three messages to the page instead of one.
    Nothing may change them afterwards: what varies is a CSS class.
    """

    def __init__(self) -> None:
        self._layout = ipywidgets.Layout(width="auto")
        self._styles: dict[type[ipywidgets.DOMWidget], object] = {}

    def make(self, kind: type[WidgetT], traits: Mapping[str, object], *, css: tuple[str, ...]) -> WidgetT:
        """Make a widget; all its traits and CSS classes travel in its first message."""
        style = {"style": self._styles[kind]} if kind in self._styles else {}
        widget = kind(layout=self._layout, _dom_classes=css, **style, **traits)
        own_style = getattr(widget, "style", None)
        if own_style is not None:
            self._styles.setdefault(kind, own_style)
        return widget


@dataclass(frozen=True)
class Outfit:
    """What a control wears whatever kind of widget it is: label, state, and the CSS classes of its state."""

    look: SharedLook
    traits: Mapping[str, object]
    css: tuple[str, ...]

    def make(
        self, kind: type[WidgetT], traits: Mapping[str, object], *, css: tuple[str, ...] = ()
    ) -> WidgetT:
        """Make the widget of a control."""
        return self.look.make(kind, {**self.traits, **traits}, css=("lw-field", *css, *self.css))
