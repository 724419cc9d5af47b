"""``lora-widgets cache``: what is cached on disk, and deleting what no run has used for long."""

import argparse
import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TextIO

from lora_widgets.data.cache_contents import CachedFiles, cached_files, delete
from lora_widgets.data.cache_folder import cache_folder
from lora_widgets.data.last_use import DAY_S
from lora_widgets.errors import CacheError
from lora_widgets.events import PhaseProgress
from lora_widgets.terminal import Printer

SILENT_S = 1.0
"""What takes no longer shows no progress."""
_UNITS = ("kB", "MB", "GB", "TB")
_NAME_CHARACTERS = 12


def run(options: argparse.Namespace, out: TextIO) -> int:
    """Show the caches in ``options.folders``, this user's without any, and delete there; return 0.

    Raises:
        CacheError: a folder is not there or cannot be read, or a file cannot be deleted.
    """
    if options.dry_run and options.unused_days is None:
        raise CacheError(
            "`--dry-run` says what would be deleted. Give `--delete-unused` with it, such as 30d."
        )
    for folder in [*map(Path.expanduser, options.folders)] or [cache_folder(None)]:
        if options.folders and not folder.is_dir():
            raise CacheError(f"There is no folder {folder}. Give the one of `cache_dir`.")
        found, now = look(folder, out), time.time()
        print(f"Cache in {folder}: {_size(found) if found else 'empty'}", file=out)
        if options.unused_days is None:
            print("".join(f"  {line}\n" for line in table(found, now=now)), end="", file=out)
        else:
            unused_since = now - options.unused_days * DAY_S
            unused = [files for files in found if files.used_at <= unused_since]
            act = _would_free if options.dry_run else _free
            act(unused, unused_since, out)
    return 0


def look(folder: Path, out: TextIO) -> list[CachedFiles]:
    """Return all that is cached in a folder; with progress if it takes long.

    Raises:
        CacheError: the folder cannot be read.
    """
    printer, begin, found = Printer(out), time.monotonic(), list[CachedFiles]()
    for done, total, files in cached_files(folder):
        found += files
        if time.monotonic() - begin > SILENT_S:
            printer(PhaseProgress("Looking through the cache", done, total))
    return sorted(found, key=lambda files: (files.words, files.encoder))


def table(found: Sequence[CachedFiles], *, now: float) -> list[str]:
    """Return a line for each store and kind of small file: what it holds, its size, and when it was used."""
    groups = [(_name(files), list(group)) for files, group in _stores(found)]
    width = max((len(name) for name, _ in groups), default=0)
    return [
        f"{name:<{width}}  {_holds(group):>14}  {_size(group):>9}  "
        f"{use_text(max(files.used_at for files in group), now=now)}"
        for name, group in groups
    ]


def size_text(size: int) -> str:
    """Write a number of bytes in the unit that suits it."""
    if size < 1000:
        return f"{size} bytes"
    power = 1
    while size / 1000**power >= 999.5 and power < len(_UNITS):
        power += 1
    return f"{size / 1000**power:.3g} {_UNITS[power - 1]}"


def use_text(used_at: float, *, now: float) -> str:
    """Write when something was last used."""
    days = int((now - used_at) // DAY_S)
    if days < 1:
        return "used today"
    return f"used {days} day{'' if days == 1 else 's'} ago"


def _free(unused: Sequence[CachedFiles], unused_since: float, out: TextIO) -> None:
    freed = 0
    try:
        for first, group in _stores(unused):
            in_group = 0
            for files in group:
                size = delete(files, unused_since=unused_since)
                in_group, freed = in_group + size, freed + size
            print(f"  deleted: {_name(first)}, {size_text(in_group)}", file=out, flush=True)
    finally:
        print(f"Freed {size_text(freed)}.", file=out)


def _would_free(unused: Sequence[CachedFiles], _unused_since: float, out: TextIO) -> None:
    for first, group in _stores(unused):
        print(f"  would delete: {_name(first)}, {_size(group)}", file=out)
    print(f"Would free {_size(unused)}.", file=out)


def _stores(found: Sequence[CachedFiles]) -> Iterable[tuple[CachedFiles, list[CachedFiles]]]:
    """Yield what is in one store, or of one kind, together with its first."""
    for _, members in groupby(found, key=lambda files: (files.words, files.encoder)):
        group = list(members)
        yield group[0], group


def _name(files: CachedFiles) -> str:
    return f"{files.words} {files.encoder[:_NAME_CHARACTERS]}".rstrip()


def _holds(group: Sequence[CachedFiles]) -> str:
    if group[0].encoder:
        entries = sum(files.entries for files in group)
        return f"{entries:,} entr{'y' if entries == 1 else 'ies'}"
    return f"{len(group):,} file{'' if len(group) == 1 else 's'}"


def _size(found: Iterable[CachedFiles]) -> str:
    return size_text(sum(files.bytes for files in found))
