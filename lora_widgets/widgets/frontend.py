"""Where this process runs: with a notebook in front of it, or not."""

import sys


def in_notebook() -> bool:
    """Return whether this process is a Jupyter kernel, which can show widgets."""
    ipython = sys.modules.get("IPython")
    if ipython is None:  # a kernel has always imported it
        return False
    shell = ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None
