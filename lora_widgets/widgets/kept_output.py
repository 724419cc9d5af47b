"""What stays in the notebook file when training is over: a summary, the samples and the loss picture.

Widgets are not saved with a notebook; reopened without a kernel they are an error message. So the monitor
is shown under a display id, and at the end replaced by plain markup and a PNG.
"""

import base64

from IPython.display import display


class KeptOutput:
    """Two outputs of the cell that creates it: the widget, later the summary; and below it the picture."""

    def __init__(self, widget: object) -> None:
        self._summary = display(widget, display_id=True)
        self._picture = display({"text/html": "", "text/plain": ""}, raw=True, display_id=True)

    def keep(self, *, markup: str, text: str, png: bytes) -> None:
        """Replace both outputs by what survives; may be called from any thread, also after the cell ended.

        Args:
            markup: the summary as HTML.
            text: the same in plain words, for front ends without HTML.
            png: the loss picture.
        """
        if self._summary is None or self._picture is None:  # outside IPython nothing was displayed
            return
        self._picture.update(
            {"image/png": base64.b64encode(png).decode("ascii"), "text/plain": "Loss and learning rates"},
            raw=True,
        )
        self._summary.update({"text/html": markup, "text/plain": text}, raw=True)
