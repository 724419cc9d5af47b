"""What each phase of a run takes of the memory at most, as measured where it computes."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar

import torch

from lora_widgets.config.memory_estimate import MemoryEstimate
from lora_widgets.events import Event, MemoryPeak

PROCESS = Path("/proc/self")
_MUCH_MORE = 1.02
Result = TypeVar("Result")


class PeakMeter:
    """Measures phases one after the other; what a phase took is put into ``told`` once, and again if it grew.

    On CUDA that is what torch allocated there. On a processor it is the memory of this process above what it
    held when the meter was made; only Linux tells it, elsewhere nothing is said.
    """

    def __init__(self, device: torch.device, estimate: MemoryEstimate | None, told: list[Event]) -> None:
        self._on_cuda, self._told = device.type == "cuda", told
        self._expected = {phase.name: phase.bytes for phase in estimate.phases} if estimate else {}
        self._peaks: dict[str, int] = {}
        self._said: dict[str, int] = {}
        self._partly: set[str] = set()
        self._restarts = True
        self._ground = 0 if self._on_cuda else _status("VmRSS") or 0

    def measured(
        self,
        phase: str,
        work: Generator[Event, None, Result],
        *,
        counts: Callable[[], bool] = lambda: True,
    ) -> Generator[Event, None, Result]:
        """Do the work of a phase, passing on its events, and tell what it took if in the end it ``counts``.

        Work that found nothing to do says nothing about what a phase takes.
        """
        self.restart()
        self._partly.discard(phase)
        result = yield from work
        if counts():
            self.take(phase)
            self.tell(phase)
        return result

    @property
    def peaks(self) -> dict[str, int]:
        """The highest peaks so far, of those phases whose own and whole work was measured."""
        if not self._restarts:
            return {}
        return {phase: peak for phase, peak in self._peaks.items() if phase not in self._partly}

    def only_partly(self, phase: str) -> None:
        """Take note that not all was there that the phase needs otherwise, until it is measured again."""
        self._partly.add(phase)

    def restart(self) -> None:
        """Forget the peak so far."""
        if self._on_cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            self._restarts &= _restart_peak_of_process()

    def take(self, phase: str) -> None:
        """Take the peak since the last `restart` for that of ``phase``, if it is the highest."""
        peak = self._peak()
        if peak is not None:
            self._peaks[phase] = max(peak, self._peaks.get(phase, 0))

    def tell(self, phase: str) -> None:
        """Put an event about the phase into ``told`` if there is news."""
        peak = self._peaks.get(phase)
        if peak is None or (phase in self._said and peak <= _MUCH_MORE * self._said[phase]):
            return
        self._said[phase] = peak
        expected = self._expected.get(phase)
        place = "GPU memory" if self._on_cuda else "memory"
        self._told.append(MemoryPeak(phase, peak, None if expected is None else round(expected), place))

    def _peak(self) -> int | None:
        if self._on_cuda:
            return torch.cuda.max_memory_allocated()
        peak = _status("VmHWM")
        return None if peak is None else max(0, peak - self._ground)


def _status(name: str) -> int | None:
    """Return a value of Linux' status of this process, in bytes; None where there is none."""
    try:
        lines = (PROCESS / "status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _restart_peak_of_process() -> bool:
    """Let Linux measure the peak anew; where that is refused (False), it is that of the whole run so far."""
    try:
        (PROCESS / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True
