"""Find the name that was probably meant."""

import difflib
import re
from collections.abc import Iterable
from functools import lru_cache


def closest(name: str, names: Iterable[str]) -> str | None:
    """Return the most similar of ``names``, or None when nothing is similar."""
    return _closest(name, tuple(names))


@lru_cache(maxsize=256)
def _closest(name: str, names: tuple[str, ...]) -> str | None:
    folded = {_folded(known): known for known in names}
    found = difflib.get_close_matches(_folded(name), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return " Did you mean `x`?" with a leading blank, or an empty text."""
    found = closest(name, names)
    return f" Did you mean `{found}`?" if found else ""


def _folded(name: str) -> str:
    # Longer texts cannot be a misspelt setting, and matching them would take seconds.
    return re.sub(r"[\W_]+", "_", name[:80]).casefold()
