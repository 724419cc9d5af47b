"""Follow a run to its end in the terminal."""

from typing import TYPE_CHECKING, TextIO

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.terminal import Printer
from lora_widgets.waiting import wait_for

if TYPE_CHECKING:
    from lora_widgets.training.run import Run


def run_to_end(config: TrainingConfig, out: TextIO) -> "Run":
    """Train with progress on ``out`` and return the finished run.

    Raises:
        LoraWidgetsError: the run failed for a reason the user can change.
        KeyboardInterrupt: the user pressed Ctrl-C; everything is saved, unless it was pressed twice.
    """
    from lora_widgets.launch import start

    def say_it_stops() -> None:
        text = "\nStopping after this step and saving everything (Ctrl-C again gives up)."
        print(text, file=out, flush=True)

    run = start(config, listeners=[Printer(out)])
    if wait_for(run, on_interrupt=say_it_stops):
        raise KeyboardInterrupt
    return run
