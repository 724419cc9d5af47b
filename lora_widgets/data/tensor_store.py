"""Small groups of tensors by name, in memory or in a few files on disk.

On disk a store is a folder of shards. A shard is two files: one holds groups of tensors as safetensors, end
to end, the other a line for each of them: name, place, length and checksum. A line is written after what it
points to, so that a crash loses at most the newest group; a checksum tells damage. Every writer has shards of
its own, so runs that share a folder cannot disturb each other; where two hold a name, the newer counts.
"""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from safetensors.torch import load, save
from torch import Tensor

from lora_widgets.data.cache_folder import cannot_write
from lora_widgets.data.cache_layout import INDEX_SUFFIX, TENSORS_SUFFIX, new_name
from lora_widgets.data.last_use import Uses
from lora_widgets.errors import CacheError

Tensors = Mapping[str, Tensor]
Key = TypeVar("Key")
State = Literal["whole", "absent", "damaged"]

# Drives in the cloud upload a file as a whole whenever it grew.
SHARD_BYTES = 256 * 2**20


class Missing(NamedTuple, Generic[Key]):
    """What has to be encoded, and how many of these only because what was cached is damaged."""

    keys: tuple[Key, ...]
    damaged: int


class TensorStore(Protocol):
    """Where a cache keeps its tensors; they are on the CPU."""

    @property
    def is_empty(self) -> bool:
        """Whether no group can be there."""
        ...

    def state_of(self, name: str) -> State:
        """Tell whether a group is there, and readable to its last byte."""
        ...

    def read(self, name: str) -> dict[str, Tensor]:
        """Return a group that is there.

        Raises:
            CacheError: it was damaged since the run looked at it.
        """
        ...

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Allow ``write``; at the end everything written is safe.

        Raises:
            CacheError: the place is full or cannot be written.
        """
        ...

    def write(self, name: str, tensors: Tensors) -> None:
        """Keep a group.

        Raises:
            CacheError: the place is full; what was written before is safe.
        """
        ...


class MemoryStore:
    """Keeps tensors as long as the run."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, Tensor]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no group is there."""
        return not self._groups

    def state_of(self, name: str) -> State:
        """Tell whether a group is there."""
        return "whole" if name in self._groups else "absent"

    def read(self, name: str) -> dict[str, Tensor]:
        """Return a group that is there."""
        return self._groups[name]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Allow ``write``."""
        yield

    def write(self, name: str, tensors: Tensors) -> None:
        """Keep a group."""
        self._groups[name] = dict(tensors)


class DiskStore:
    """Keeps tensors in a folder, for all runs; nothing is made before the first ``writing``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[str, _Place] = {}
        self._shard: _NewShard | None = None
        self._uses = Uses()
        for index in sorted(folder.glob(f"*{INDEX_SUFFIX}")):
            self._places.update(_read_index(index))

    @property
    def is_empty(self) -> bool:
        """Whether no group can be there."""
        return not self._places

    def state_of(self, name: str) -> State:
        """Tell whether a group is there, and readable to its last byte; reads all of it."""
        place = self._places.get(name)
        if place is None:
            return "absent"
        return "damaged" if self._payload(place) is None else "whole"

    def read(self, name: str) -> dict[str, Tensor]:
        """Return a group that is there; the file is opened anew, so no handle outlives a run.

        Raises:
            CacheError: it was damaged since the run looked at it.
        """
        payload = self._payload(self._places[name])
        if payload is None:
            raise CacheError(
                f"The cache in {self.folder} was changed or deleted while the run used it. Start again: what "
                "is missing is encoded anew."
            )
        return load(payload)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Allow ``write``; at the end everything written is safe.

        Raises:
            CacheError: the folder is full or cannot be written.
        """
        try:
            self._shard = _NewShard.begin(self.folder)
            yield
        finally:
            self._end_shard()

    def write(self, name: str, tensors: Tensors) -> None:
        """Append a group; a shard that is long enough is ended before.

        Raises:
            CacheError: the folder is full; what was written before is safe.
        """
        assert self._shard is not None, "write() outside of writing()"
        if self._shard.length >= SHARD_BYTES:
            self._end_shard()
            self._shard = _NewShard.begin(self.folder)
        payload = save({key: value.contiguous() for key, value in tensors.items()})
        self._places[name] = self._shard.append(name, payload)

    def _payload(self, place: "_Place") -> bytes | None:
        payload = _payload(place)
        if payload is not None:
            self._uses.note(
                place.path.with_suffix(INDEX_SUFFIX)
            )  # the small one: some drives upload it whole
        return payload

    def _end_shard(self) -> None:
        shard, self._shard = self._shard, None
        if shard is not None:
            shard.end()


class _Place(NamedTuple):
    """Where a group is; ``checksum`` is the CRC-32 of its bytes."""

    path: Path
    offset: int
    length: int
    checksum: int


class _NewShard:
    """The two files that one writer appends to."""

    def __init__(self, path: Path, data: FileIO, index: FileIO) -> None:
        self._path, self._data, self._index = path, data, index
        self.length = 0
        self._index_length = 0

    @classmethod
    def begin(cls, folder: Path) -> "_NewShard":
        """Make the files; their names sort by age."""
        stem = folder / new_name()
        path = stem.with_suffix(TENSORS_SUFFIX)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            data = open_new(path)
            try:
                return cls(path, data, open_new(stem.with_suffix(INDEX_SUFFIX)))
            except OSError:
                data.close()
                path.unlink()
                raise
        except OSError as error:
            raise cannot_write(folder, error) from error

    def append(self, name: str, payload: bytes) -> _Place:
        """Write a group and then its line; a failed write is taken back."""
        place = _Place(self._path, self.length, len(payload), zlib.crc32(payload))
        line = (json.dumps([name, *place[1:]]) + "\n").encode()
        try:
            _write_all(self._data, payload)
            _write_all(self._index, line)
        except OSError as error:
            for file, length in ((self._data, self.length), (self._index, self._index_length)):
                with suppress(OSError):  # what cannot be cut off has no line, or half a one: nobody reads it
                    file.truncate(length)
                    file.seek(length)
            raise cannot_write(self._path.parent, error) from error
        self.length += len(payload)
        self._index_length += len(line)
        return place

    def end(self) -> None:
        """Put the files on disk; empty ones go."""
        try:
            for file in (self._data, self._index):
                with file:
                    os.fsync(file.fileno())
            if not self.length:
                self._path.unlink()
                self._path.with_suffix(INDEX_SUFFIX).unlink()
        except OSError as error:
            raise cannot_write(self._path.parent, error) from error


def open_new(path: Path) -> FileIO:
    """Open a file that must not exist yet for writing; unbuffered, so that a full disk shows at once."""
    return FileIO(path, "x")


def _write_all(file: FileIO, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _read_index(path: Path) -> Iterator[tuple[str, _Place]]:
    """Yield what the lines of a shard say; a torn or damaged line says nothing."""
    shard = path.with_suffix(TENSORS_SUFFIX)
    with suppress(OSError):
        for line in path.read_bytes().splitlines():
            try:
                name, offset, length, checksum = json.loads(line)
                yield str(name), _Place(shard, int(offset), int(length), int(checksum))
            except (ValueError, TypeError):
                continue


def _payload(place: _Place) -> bytes | None:
    """Return the bytes of a group; None where they are not those that were written."""
    try:
        with place.path.open("rb", buffering=0) as file:
            if not 0 <= place.offset <= place.offset + place.length <= os.fstat(file.fileno()).st_size:
                return None
            file.seek(place.offset)
            payload = file.read(place.length)
    except OSError:
        return None
    return payload if zlib.crc32(payload) == place.checksum else None
