"""The journal of a run: one JSON object per event and line, readable by any tool and after any crash."""

import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from lora_widgets import events
from lora_widgets.events import Event, Failed, Finished

_log = logging.getLogger(__name__)

EVENTS: dict[str, type[Event]] = {
    name: kind
    for name, kind in vars(events).items()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}


class JsonlFile:
    """Append every event to ``path`` at once, so that a crash loses at most the line being written.

    The file is opened with the first event (its folder is made then) and closed with the last one. A line is
    ``{"event": "StepDone", "time": <seconds since 1970>, ...the event's fields}``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file: TextIO | None = None

    def __call__(self, event: Event) -> None:
        """Write one event; raises OSError where the folder cannot be written."""
        file = self._opened()
        file.write(as_line(event, time.time()))
        file.flush()
        if isinstance(event, Finished | Failed):
            self.close()

    def close(self) -> None:
        """Close the file; a later event opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> TextIO:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            ends_torn = _ends_torn(self.path)
            self._file = self.path.open("a", encoding="utf-8")
            if ends_torn:
                self._file.write("\n")
        return self._file


def as_line(event: Event, at: float) -> str:
    """Return the event as one line of strict JSON; a number that is not finite becomes null."""
    values = {"event": type(event).__name__, "time": round(at, 3), **dataclasses.asdict(event)}
    return json.dumps(_without_nan(values), ensure_ascii=False, allow_nan=False) + "\n"


def read_events(path: str | Path) -> list[Event]:
    """Return the events of a journal in order; what was not finite comes back as NaN.

    A line cut short by a crash, and an event a newer version wrote, are passed over with a log message.
    """
    found: list[Event] = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        event = _event_of(line) if line.strip() else None
        if event is not None:
            found.append(event)
        elif line.strip():
            _log.warning("%s: line %d is not a complete event of this version; passed over", path, number)
    return found


def _event_of(line: str) -> Event | None:
    try:
        values = json.loads(line)
        kind = EVENTS[values["event"]]
        fields = {field.name: _restored(values[field.name], field.type) for field in dataclasses.fields(kind)}
    except (ValueError, KeyError, TypeError):
        return None
    # The fields are those of this very class, which the type checker cannot see through the table.
    make: Callable[..., Event] = kind
    return make(**fields)


def _restored(value: object, annotation: object) -> object:
    if annotation is float and value is None:
        return math.nan
    if annotation == dict[str, float] and isinstance(value, dict):
        return {key: math.nan if item is None else item for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _without_nan(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value


def _ends_torn(path: Path) -> bool:
    """Return whether the file's last line lacks its end, as after a crash or a full disk."""
    if not path.exists() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) != b"\n"
