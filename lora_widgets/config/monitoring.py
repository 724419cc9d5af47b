"""Tab Logging: trackers beside the journal that every run writes."""

from typing import Annotated

from lora_widgets.catalog.formats import TRACKERS
from lora_widgets.config.fields import NotYet, OneOf, Ui
from lora_widgets.config.section import Section
from lora_widgets.config.tabs import Tab


class Logging(Section, tab=Tab.LOGGING, group="Logging"):
    """Where curves go; the journal of events beside the weights is always written."""

    logging_dir: Annotated[str | None, Ui("Log folder", path="folder"), NotYet()] = None
    """Folder for the tracker's files."""

    log_with: Annotated[str | None, OneOf(TRACKERS), Ui("Tracker"), NotYet()] = None
    """Experiment tracker that also gets the curves. Empty means none."""

    log_prefix: Annotated[str | None, Ui("Log prefix"), NotYet()] = None
    """Text before the name of the log folder of each run."""
