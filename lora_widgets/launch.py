"""Starting a run with its listeners: the one place where engine, journal and display meet."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lora_widgets.events import Event, Started

if TYPE_CHECKING:
    from lora_widgets.config.training_config import TrainingConfig
    from lora_widgets.training.run import Run


def start(config: "TrainingConfig", *, listeners: Sequence[Callable[[Event], None]] = ()) -> "Run":
    """Train in the background and return at once.

    Every event is also written to ``<name>.events.jsonl`` in the run folder.
    """
    from lora_widgets.training.run import Run

    return Run(config, [*listeners, Journal()]).start()


def train(config: "TrainingConfig") -> "Run":
    """Train, show how it goes, and return when it is done: the training cell.

    In a notebook a monitor shows progress, loss, samples and the log; elsewhere lines are printed. An
    interrupt (the square button, Ctrl-C) finishes the step, saves everything and returns normally.

    Raises:
        LoraWidgetsError: the configuration cannot work, or training broke down.
    """
    _refuse_what_is_no_config(config)
    from lora_widgets.widgets.frontend import in_notebook

    return _train_in_cell(config) if in_notebook() else _train_in_terminal(config)


def _refuse_what_is_no_config(config: object) -> None:
    """Explain what the form of a panel with errors, or a dictionary, gives to a cell."""
    from lora_widgets.config.training_config import TrainingConfig
    from lora_widgets.errors import ConfigError

    if config is None:
        raise ConfigError(
            "There is no configuration to train: it is None. A panel has none while a value in its form "
            "is invalid; settle the errors that the panel shows, then run this cell again."
        )
    if not isinstance(config, TrainingConfig):
        raise ConfigError(
            f"What is to be trained is a {type(config).__name__}, not a TrainingConfig. Write "
            "train(TrainingConfig(...)), or train(load_config(file)) for settings in a file."
        )


def _train_in_cell(config: "TrainingConfig") -> "Run":
    from lora_widgets.widgets.monitor import Monitor
    from lora_widgets.widgets.waiting import wait

    monitor = Monitor()
    monitor.display()
    run = start(config, listeners=[monitor])
    monitor.bind(run)
    wait(run)
    return run


def _train_in_terminal(config: "TrainingConfig") -> "Run":
    import sys

    from lora_widgets.terminal import Printer

    return start(config, listeners=[Printer(sys.stdout)]).wait()


class Journal:
    """Writes events to the run folder, from the moment there is one."""

    def __init__(self) -> None:
        self._write: Callable[[Event], None] | None = None

    def __call__(self, event: Event) -> None:
        """Write one event."""
        if isinstance(event, Started):
            from pathlib import Path

            from lora_widgets.sinks.jsonl_file import JsonlFile

            self._write = JsonlFile(Path(event.folder) / f"{event.run_name}.events.jsonl")
        if self._write:
            self._write(event)
