"""The HTML this package writes: its style sheet, and widgets that hold markup."""

from functools import lru_cache
from pathlib import Path

import ipywidgets

_STYLE = Path(__file__).with_name("style.css")


@lru_cache(maxsize=1)
def style_tag() -> str:
    """Return the style sheet as a `<style>` element."""
    return f"<style>{_STYLE.read_text(encoding='utf-8')}</style>"


def html_widget(value: str = "", *, css_class: str, layout: ipywidgets.Layout) -> ipywidgets.HTML:
    """Return a widget that shows markup; every text in ``value`` must have been escaped.

    One layout may serve many widgets: each layout of its own is a further message to the page. Nothing here
    changes a layout afterwards; what varies is a CSS class.
    """
    widget = ipywidgets.HTML(value=value, layout=layout)
    widget.add_class(css_class)
    return widget
