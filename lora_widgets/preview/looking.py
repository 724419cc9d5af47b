"""How far the look at the pictures has come, in words. Pure."""

import html

from lora_widgets.preview.marks import Compared
from lora_widgets.preview.numbers import counted


def looking_text(done: int, total: int) -> str:
    """Say how many pictures have been opened."""
    return f"Looking for blurred and similar pictures: {done:,} of {total:,}"


def compared_text(compared: Compared, total: int) -> str:
    """Say what comparing all pictures found."""
    groups = len(compared.groups)
    alike = f"{counted(groups, 'group')} look alike" if groups != 1 else "1 group looks alike"
    return f"All {counted(total, 'picture')} compared: {alike if groups else 'none look alike'}"


def failed_html(error: Exception) -> str:
    """Say that looking at the pictures broke off by a mistake of the program."""
    what = html.escape(f"{type(error).__name__}: {error}"[:400])
    return (
        f'<span role="alert">The pictures could not be compared: {what}. This is a mistake in the program; '
        "training is not affected.</span>"
    )
