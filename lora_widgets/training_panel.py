"""The panel with the engine behind its Start button. A file of its own, so that scripts load no widgets."""

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.launch import start
from lora_widgets.widgets.panel import Panel


class TrainingPanel(Panel):
    """A form for every setting, with live steps and findings, that trains in the background.

    Show it as the last line of a cell. ``panel.config`` is what was entered, and may be assigned;
    ``panel.run`` is the newest run.
    """

    def __init__(self, config: TrainingConfig | None = None) -> None:
        super().__init__(config, start=start)
