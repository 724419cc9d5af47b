"""An unexpected error inside the panel, as markup. Pure."""

import html
import traceback

LONGEST = 4000


def mistake_html(error: BaseException) -> str:
    """Say what happened and what to do; the traceback is folded away."""
    what = html.escape(f"{type(error).__name__}: {error}"[:LONGEST])
    trace = html.escape("".join(traceback.format_exception(error))[-LONGEST:])
    return (
        '<div class="lw-mistake" role="alert"><p><b>The panel could not do this.</b> '
        f"<code>{what}</code></p>"
        "<p>What you entered is kept. Take the last change back, or run the cell again. If this is not from "
        "code of your own that observes the panel, please report it with the lines below.</p>"
        f"<details><summary>Details</summary><pre>{trace}</pre></details></div>"
    )
