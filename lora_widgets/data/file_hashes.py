"""What is in a file, as a hash; remembered, so that a second run does not read the files again."""

import hashlib
import json
import logging
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from lora_widgets.config.file_stamp import is_settled
from lora_widgets.data.cache_layout import HASHES_SUFFIX, new_name
from lora_widgets.data.last_use import note_use
from lora_widgets.errors import DatasetError

DIGEST_BYTES = 16


class Stamp(NamedTuple):
    """What tells that a file was written again, without reading it."""

    size: int
    mtime_ns: int


def hash_file(path: Path) -> str:
    """Return a hash of the content, in hexadecimal.

    Raises:
        DatasetError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=DIGEST_BYTES)).hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


class FileHashes:
    """Hashes of files; those known from earlier runs are in ``folder``, one small file for each run.

    Args:
        folder: where hashes are remembered; it need not exist.
        paths: the files that will be asked for; hashes of others are not kept in memory.
    """

    def __init__(self, folder: Path, paths: Collection[Path]) -> None:
        self._folder = folder
        self._known: dict[str, tuple[Stamp, str]] = {}
        self._new: list[str] = []
        self._load({_name(path) for path in paths})

    def of(self, path: Path) -> str:
        """Return the hash of the file as it is now; reads it only where its size or time is new.

        Raises:
            DatasetError: the file cannot be read.
        """
        name, stamp = _name(path), _stamp(path)
        known = self._known.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        digest = hash_file(path)
        self._known[name] = (stamp, digest)
        if is_settled(stamp.mtime_ns):
            self._new.append(json.dumps([name, *stamp, digest]))
        return digest

    def refuse_changed(self, path: Path) -> None:
        """Raise where a file is no longer what was hashed.

        Raises:
            DatasetError: it was written since, or is gone.
        """
        known = self._known.get(_name(path))
        if known is None or known[0] != _stamp(path):
            raise DatasetError(
                f"The picture {path} changed while it was being encoded. Leave the pictures alone while "
                "training, and start again."
            )

    def save(self) -> None:
        """Remember the new hashes; where that cannot be done, the next run reads the files again."""
        if not self._new:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{new_name()}{HASHES_SUFFIX}"
            path.write_text("\n".join(self._new) + "\n", encoding="utf-8")
        except OSError as error:
            logging.getLogger(__name__).warning("hashes are not remembered in %s: %s", self._folder, error)
        self._new.clear()

    def _load(self, wanted: Collection[str]) -> None:
        for path in sorted(self._folder.glob(f"*{HASHES_SUFFIX}")):
            found = {name: (stamp, digest) for name, stamp, digest in _read_lines(path) if name in wanted}
            if found:
                note_use(path)
            self._known.update(found)


def _read_lines(path: Path) -> Iterator[tuple[str, Stamp, str]]:
    """Yield what a file of hashes says; a torn or damaged line says nothing."""
    with suppress(OSError):
        for line in path.read_bytes().splitlines():
            try:
                name, size, mtime_ns, digest = json.loads(line)
                yield str(name), Stamp(int(size), int(mtime_ns)), str(digest)
            except (ValueError, TypeError):
                continue


def _name(path: Path) -> str:
    return str(path.absolute())


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return Stamp(found.st_size, found.st_mtime_ns)


def _unreadable(path: Path, error: OSError) -> DatasetError:
    reason = error.strerror or error
    return DatasetError(f"The picture {path} cannot be read ({reason}). Replace it or delete it.")
