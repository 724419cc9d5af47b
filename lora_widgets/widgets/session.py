"""From a click on Start to the end of the run it began; one run at a time."""

import threading
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.errors import LoraWidgetsError
from lora_widgets.events import Failed
from lora_widgets.waiting import Waitable
from lora_widgets.widgets.buttons import Stoppable
from lora_widgets.widgets.kept_output import Keeper
from lora_widgets.widgets.monitor import Monitor


class RunLike(Stoppable, Waitable, Protocol):
    """The part of a run that the panel needs."""


Starter = Callable[..., RunLike]
"""Called as ``start(config, listeners=[...])``, begins a run and returns it."""


class Stage(Enum):
    """Where a session is."""

    IDLE = "idle"
    ASKED = "asked"  # Start was clicked, the settings are checked once more
    STARTING = "starting"
    RUNNING = "running"


def in_words(error: BaseException) -> str:
    """Say what went wrong; errors that are not ours do not explain themselves without their name."""
    return str(error) if isinstance(error, LoraWidgetsError) else f"{type(error).__name__}: {error}"


class Session:
    """Starts runs and watches over them.

    ``run`` and ``monitor`` are those of the newest run, also when it has ended. ``problem`` is what went
    wrong with it. Its methods are called while the panel's lock is held; ``changed`` is called without it,
    on the session's thread.

    Args:
        start: begins a run; may take seconds, because it loads libraries.
        keeper: where what remains of a run is put.
        changed: called after every change of the stage that nobody asked for.
    """

    def __init__(self, start: Starter, *, keeper: Keeper, changed: Callable[[], None]) -> None:
        self.stage = Stage.IDLE
        self.run: RunLike | None = None
        self.monitor: Monitor | None = None
        self.problem: BaseException | None = None
        self._start, self._keeper, self._changed = start, keeper, changed

    def ask(self) -> bool:
        """Take note of a click on Start; return False where there is nothing to start now."""
        if self.stage is not Stage.IDLE:
            return False
        self.stage = Stage.ASKED
        return True

    def refuse(self) -> None:
        """Give up what was asked for."""
        self.stage = Stage.IDLE

    def begin(self, config: TrainingConfig) -> None:
        """Start a run with a monitor of its own and return at once."""
        self.stage, self.problem = Stage.STARTING, None
        self.monitor = Monitor()
        threading.Thread(
            target=self._live, args=(config, self.monitor), name="lora-widgets-session", daemon=True
        ).start()

    def _live(self, config: TrainingConfig, monitor: Monitor) -> None:
        """Start the run, wait for its end, and tell of both."""
        try:
            monitor.keep_in(self._keeper)
            run = self._start(config, listeners=[monitor])
            monitor.bind(run)
            self.run, self.stage = run, Stage.RUNNING
            self._changed()
            run.done.wait()
            self.problem = run.error
        except Exception as error:  # the boundary of the thread
            self.problem = error
            monitor(Failed(f"The run could not be started: {in_words(error)}", "", None))
        self.stage = Stage.IDLE
        self._changed()
