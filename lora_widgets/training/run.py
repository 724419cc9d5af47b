"""`Run`: one training on a thread of its own; what the user holds."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lora_widgets.config.phases import LOADING, SAMPLES, TRAINING
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.errors import LoraWidgetsError
from lora_widgets.events import Event, Failed, Finished, PhaseProgress, SampleReady, Saved, Started, StepDone
from lora_widgets.training.control import Control
from lora_widgets.training.start import iter_training
from lora_widgets.waiting import wait_for

Listener = Callable[[Event], None]
_LOG = logging.getLogger(__name__)
_CRASHED = "This is a mistake in the program or the machine, not in your settings; the traceback says where."


class Run:
    """A training in the background.

    ``history`` holds every `StepDone`, ``samples`` every `SampleReady`, ``files`` the saved weights,
    ``state`` the newest state folder. ``done`` is set when the thread has ended; ``error`` is what ended it.
    """

    def __init__(self, config: TrainingConfig, listeners: Sequence[Listener] = ()) -> None:
        self.config = config
        self.history: list[StepDone] = []
        self.samples: list[SampleReady] = []
        self.files: list[Path] = []
        self.state: Path | None = None
        self.folder: Path | None = None
        self.outcome: Finished | Failed | None = None
        self.error: BaseException | None = None
        self.done = threading.Event()
        self.phase_seconds: dict[str, float] = {}
        self._listeners = list(listeners)
        self._control = Control()
        self._thread = threading.Thread(target=self._work, name="lora-widgets-run", daemon=True)

    def start(self) -> "Run":
        """Begin; a run begins once."""
        self._thread.start()
        return self

    def subscribe(self, listener: Listener) -> None:
        """Let ``listener`` hear of everything from now on, on the run's own thread."""
        self._listeners.append(listener)

    def stop(self) -> None:
        """Finish the step in progress, save, and end."""
        self._control.stop()

    def pause(self) -> None:
        """Wait after the step in progress."""
        self._control.pause()

    def unpause(self) -> None:
        """Go on after a pause."""
        self._control.unpause()

    @property
    def paused(self) -> bool:
        """Whether a pause was asked for."""
        return self._control.paused

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._control.stopping

    @property
    def alive(self) -> bool:
        """Whether it has begun and not ended."""
        return self._thread.ident is not None and not self.done.is_set()

    def wait(self) -> "Run":
        """Wait for the end; an interrupt (Ctrl-C) stops the run tidily, a second one gives up waiting.

        Raises:
            Exception: whatever ended the training.
        """
        wait_for(self)
        return self

    def __repr__(self) -> str:
        """Say how far it is."""
        state = "running" if self.alive else "not started" if self._thread.ident is None else "ended"
        return f"<Run {self.config.file_stem!r}: {state}, {len(self.history)} steps, {len(self.files)} files>"

    def _work(self) -> None:
        last = time.perf_counter()
        try:
            for event in iter_training(self.config, self._control):
                now = time.perf_counter()
                self._count(event, now - last)
                self._tell(event)
                last = time.perf_counter()
        except BaseException as error:
            self.error = error
            self._tell(self._failed(error))
        finally:
            self.done.set()

    def _count(self, event: Event, seconds: float) -> None:
        phase = event.phase if isinstance(event, PhaseProgress) else _PHASES.get(type(event), "")
        self.phase_seconds[phase] = self.phase_seconds.get(phase, 0.0) + seconds

    def _tell(self, event: Event) -> None:
        self._remember(event)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # a display that fails must not end a training
                _LOG.exception("A listener failed on %s", type(event).__name__)

    def _remember(self, event: Event) -> None:
        match event:
            case StepDone():
                self.history.append(event)
            case SampleReady():
                self.samples.append(event)
            case Saved(kind="weights"):
                self.files.append(Path(event.path))
            case Saved():
                self.state = Path(event.path)
            case Started():
                self.folder = Path(event.folder)
            case Finished() | Failed():
                self.outcome = event
            case _:
                pass

    def _failed(self, error: BaseException) -> Failed:
        remedy = "" if isinstance(error, LoraWidgetsError) else _CRASHED
        text = str(error) if isinstance(error, LoraWidgetsError) else f"{type(error).__name__}: {error}"
        return Failed(text, remedy, str(self.state) if self.state else None)


_PHASES: dict[type[Event], str] = {
    StepDone: TRAINING,
    SampleReady: SAMPLES,
    Saved: "Saving",
    Finished: "Saving",
    Started: LOADING,
}
