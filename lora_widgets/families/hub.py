"""Fetching base models from the Hugging Face hub: what of a repository, how far it is, and why it failed.

The hub's own library keeps the files, so nothing is fetched twice, and offline mode (HF_HUB_OFFLINE) is its
own. A token is taken from HF_TOKEN or from `hf auth login`.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lora_widgets.catalog.weight_variants import OTHER_VARIANTS

SMALL_FILES = ("*.json", "tokenizer*/*")
"""Configurations and tokenizers: read before anything is loaded."""
POLL_S = 0.5
_MEBIBYTE = 2**20
_CHOICES = (  # of each part the first of these that a repository has
    (("*.safetensors",), OTHER_VARIANTS),
    (("*.safetensors",), ()),
    (("*.bin",), OTHER_VARIANTS),
    (("*.bin",), ()),
)
_WEIGHTS = ("*.safetensors", "*.bin")


class Unfetched(Exception):
    """Something could not be fetched: ``reason`` says why, ``remedy`` what to do, if it is not the usual."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


class Abandoned(Exception):
    """The download was given up."""


def fetch(
    name: str, patterns: Sequence[str], *, ignored: Sequence[str] = (), bar: type[Any] | None = None
) -> Path:
    """Return the folder where the files of repository ``name`` that match ``patterns`` are now.

    ``bar`` stands in for the progress bar (tqdm) of the download; without it nothing is shown.

    Raises:
        Unfetched: they could not be fetched and are not among earlier downloads.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            name,
            allow_patterns=list(patterns),
            ignore_patterns=list(ignored) or None,
            tqdm_class=bar or _Counter().bar,
        )
    except (OSError, ValueError) as error:
        raise _unfetched(name, error) from error
    return Path(folder)


def fetch_part(name: str, part: str, *, bar: type[Any] | None = None) -> Path:
    """Fetch the weights of one part, in full precision where there are such; return the model's folder.

    Raises:
        Unfetched: they could not be fetched and are not among earlier downloads.
    """
    start = f"{part}/" if part else ""
    folder = Path()
    for patterns, ignored in _CHOICES:
        folder = fetch(name, [start + pattern for pattern in patterns], ignored=ignored, bar=bar)
        if any(True for pattern in _WEIGHTS for _ in (folder / part).glob(pattern)):
            break
    return folder


def fetching(name: str, part: str) -> Iterator[tuple[int, int]]:
    """Fetch the weights of a part, and yield (done, total) in MiB; nothing where all are here.

    Closing the iterator gives the download up; what has arrived is kept.

    Raises:
        Unfetched: they could not be fetched.
    """
    counter = _Counter()
    return _watched(partial(fetch_part, name, part, bar=counter.bar), counter)


class _Counter:
    """Adds up what the progress bars of one download are told."""

    def __init__(self) -> None:
        self.is_abandoned = False
        self._bars: list[Any] = []
        self.bar = self._bar_class()

    def __call__(self) -> tuple[int, int]:
        """Return (done, total) in MiB of the furthest bar that counts bytes; (0, 0) before there is one."""
        told = [(bar.counted, bar.total or 0) for bar in list(self._bars) if bar.counts_bytes]
        done, total = max(told, default=(0, 0))
        return int(done // _MEBIBYTE), int(max(done, total) // _MEBIBYTE)

    def _bar_class(self) -> type[Any]:
        from huggingface_hub.utils import tqdm

        counter = self

        class Bar(tqdm):  # pyright: ignore[reportUntypedBaseClass, reportGeneralTypeIssues]
            """Shows nothing and counts by itself; lets the download end when it is abandoned."""

            def __init__(self, *arguments: Any, **keywords: Any) -> None:
                self.counts_bytes = keywords.get("unit") == "B"
                self.counted = keywords.get("initial") or 0
                super().__init__(*arguments, **{**keywords, "disable": True})
                counter._bars.append(self)

            def update(self, n: float | None = 1) -> bool | None:
                if counter.is_abandoned:
                    raise Abandoned
                self.counted += n or 0
                return None

        return Bar


def _watched(download: Callable[[], Path], counter: _Counter) -> Generator[tuple[int, int], None, None]:
    """Run a download on a thread of its own and yield how far it is whenever that changes."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            download()
        except BaseException as error:  # it is raised on the thread that waits
            failed.append(error)

    thread = threading.Thread(target=work, name="lora-widgets-download", daemon=True)
    thread.start()
    last = (0, 0)
    try:
        while thread.is_alive():
            thread.join(POLL_S)
            if (now := counter()) != last and now[1]:
                last = now
                yield now
    finally:
        counter.is_abandoned = True
    if failed:
        raise failed[0]


def _unfetched(name: str, error: Exception) -> Unfetched:
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    token = "Make a token at https://huggingface.co/settings/tokens, put it into the variable HF_TOKEN"
    match error:
        case GatedRepoError():
            return Unfetched(
                "its authors ask for consent first.",
                f"Open https://huggingface.co/{name}, sign in and accept the conditions. {token}, and start "
                "again.",
            )
        case RepositoryNotFoundError():
            return Unfetched(
                "there is no such model, or it is private.",
                f"Check the spelling of {name!r}. If it is private: {token}, and start again.",
            )
        case HFValidationError():
            return Unfetched("that is no name of a model.", 'Names are like "owner/model".')
        case LocalEntryNotFoundError():
            return Unfetched("this machine is offline, and it was not downloaded before.")
        case OSError(errno=28):
            return Unfetched(
                "the disk is full.",
                "Free some space, or set the variable HF_HOME to a folder on another disk.",
            )
        case _:
            return Unfetched(_first_line(error))


def _first_line(reason: object) -> str:
    text = str(reason).strip().splitlines()
    line = text[0].rstrip() if text else type(reason).__name__
    return line if line.endswith((".", "!", "?")) else f"{line}."
