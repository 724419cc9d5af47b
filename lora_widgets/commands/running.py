"""Follow a run to its end in the terminal."""

from typing import TYPE_CHECKING, TextIO

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.terminal import Printer

if TYPE_CHECKING:
    from lora_widgets.training.run import Run

AWAKE_EVERY_S = 0.2  # a wait without a limit cannot be interrupted on every system


def run_to_end(config: TrainingConfig, out: TextIO) -> "Run":
    """Train with progress on ``out`` and return the finished run.

    Raises:
        LoraWidgetsError: the run failed for a reason the user can change.
        KeyboardInterrupt: the user pressed Ctrl-C; everything is saved, unless it was pressed twice.
    """
    from lora_widgets.launch import start

    interrupted = False
    run = start(config, listeners=[Printer(out)])
    while not run.done.is_set():
        try:
            run.done.wait(AWAKE_EVERY_S)
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            run.stop()
            print(
                "\nStopping after this step and saving everything (Ctrl-C again gives up).",
                file=out,
                flush=True,
            )
    if run.error is not None:
        raise run.error
    if interrupted:
        raise KeyboardInterrupt
    return run
