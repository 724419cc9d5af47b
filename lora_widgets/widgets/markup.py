"""The HTML this package writes: its style sheets, and widgets that hold markup."""

from functools import lru_cache
from pathlib import Path

import ipywidgets

_FOLDER = Path(__file__).parent


@lru_cache(maxsize=1)
def style_tag() -> str:
    """Return all style sheets as one `<style>` element."""
    sheets = (path.read_text(encoding="utf-8") for path in sorted(_FOLDER.glob("*.css")))
    return f"<style>{''.join(sheets)}</style>"


def html_widget(value: str = "", *, css_class: str, layout: ipywidgets.Layout) -> ipywidgets.HTML:
    """Return a widget that shows markup; every text in ``value`` must have been escaped.

    One layout may serve many widgets: each layout of its own is a further message to the page. Nothing here
    changes a layout afterwards; what varies is a CSS class.
    """
    widget = ipywidgets.HTML(value=value, layout=layout)
    widget.add_class(css_class)
    return widget
