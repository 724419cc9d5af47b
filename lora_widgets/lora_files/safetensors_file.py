"""Writing .safetensors files: all at once from memory with their hashes, or tensor by tensor.

The format is a header of JSON and then the numbers in one piece. It is written here because of the hashes by
which programs know a file: they are of the numbers and stand in the header, so the library would have to
write everything twice.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
DTYPES = {name: dtype for dtype, name in _NAMES.items()}
Entry = tuple[str, torch.dtype, tuple[int, ...]]
_MEBIBYTE, _WINDOW = 0x100000, 0x10000
HASHES = ("sshs_model_hash", "sshs_legacy_hash")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors of the CPU, with the hashes of the file added to its metadata.

    A crash leaves the file absent, old, or complete.
    """
    entries = _ordered((name, tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items())
    pieces = [_bytes(tensors[name]) for name, _, _ in entries]
    with written_whole(path) as file:
        file.write(_header(entries, {**metadata, **hashes(entries, pieces, metadata)}))
        for piece in pieces:
            file.write(piece)


def write_stream(
    path: Path, entries: Iterable[Entry], read: Callable[[str], Tensor], metadata: Mapping[str, str]
) -> None:
    """Write tensors that ``read`` returns when their turn comes; one at a time is in memory.

    Nothing is left of the file if ``read`` fails.
    """
    ordered = _ordered(entries)
    with written_whole(path) as file:
        file.write(_header(ordered, metadata))
        for name, dtype, shape in ordered:
            file.write(_bytes(read(name).to(dtype).reshape(shape)))


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that gets its name only when all is written."""
    fresh = path.with_name(f".{path.name}.part")
    try:
        with fresh.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def hashes(
    entries: Iterable[Entry], pieces: Iterable[memoryview], metadata: Mapping[str, str]
) -> dict[str, str]:
    """Return the hashes by which other programs recognise a file whose numbers are ``pieces``.

    sshs_model_hash is the SHA-256 of the numbers. sshs_legacy_hash is that of 64 KiB at 1 MiB, 8 digits, of
    the file as it would be with ``ss_*`` metadata only.
    """
    plain = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    body, window = hashlib.sha256(), hashlib.sha256()
    # The header is far shorter than 1 MiB, except in files of a hundred thousand tensors.
    at = len(head := _header(list(entries), plain))
    window.update(head[_MEBIBYTE : _MEBIBYTE + _WINDOW])
    for piece in pieces:
        body.update(piece)
        window.update(piece[max(0, _MEBIBYTE - at) : max(0, _MEBIBYTE + _WINDOW - at)])
        at += len(piece)
    return dict(zip(HASHES, (body.hexdigest(), window.hexdigest()[:8]), strict=True))


def hashes_of(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes that a file of these tensors would get."""
    entries = _ordered((name, tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items())
    return hashes(entries, [_bytes(tensors[name]) for name, _, _ in entries], metadata)


def _ordered(entries: Iterable[Entry]) -> list[Entry]:
    """Return the largest numbers first, so that each tensor begins where its numbers may; else by name."""
    return sorted(entries, key=lambda entry: (-entry[1].itemsize, entry[0]))


def _header(entries: Iterable[Entry], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, dtype, shape in entries:
        begin, end = end, end + dtype.itemsize * prod(shape)
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _bytes(tensor: Tensor) -> memoryview:
    return memoryview(cast("Any", tensor.contiguous().reshape(-1).view(torch.uint8).numpy()))
