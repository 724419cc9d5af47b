"""What a .safetensors file holds, read from its header in a moment and without torch.

The format: 8 bytes with the length of the header, the header as JSON (name -> dtype, shape, offsets), the
tensors in one piece. A file whose length does not fit its header was not copied or downloaded completely.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lora_widgets.errors import ModelError

WEIGHT_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
_LONGEST_HEADER = 100_000_000
_NO_WEIGHTS = {
    b"version ": "is only the pointer of Git LFS to the real file",
    b"<!doctyp": "is a web page",
    b"<!DOCTYP": "is a web page",
    b"<html><h": "is a web page",
}


@dataclass(frozen=True)
class TensorPlace:
    """Where a tensor lies: bytes ``begin`` to ``end`` of the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """The tensors of a file by name, and its own metadata."""

    places: Mapping[str, TensorPlace]
    metadata: Mapping[str, str]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes by name."""
        return {name: place.shape for name, place in self.places.items()}


def is_weight_file(value: str) -> bool:
    """Tell the path of a file from that of a folder, and from a hub id, by how it ends."""
    return value.strip().lower().endswith(WEIGHT_SUFFIXES)


def refuse_gguf(setting: str, value: str) -> None:
    """Make sure that a path is not that of a GGUF file; ``setting`` is named in errors.

    Raises:
        ModelError: it is one, whose weights are quantised in ways of their own.
    """
    if value.strip().lower().endswith(".gguf"):
        raise ModelError(
            f"`{setting}` is {value!r}, but weights that are quantised for GGUF cannot be read here. Use the "
            "model's .safetensors file in bf16, fp16 or plain fp8."
        )


def read_header(setting: str, path: Path) -> Header:
    """Read the header of a .safetensors file; ``setting`` is named in errors.

    Raises:
        ModelError: the file cannot be read, is incomplete, or is no such file.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            text = file.read(length) if len(start) == 8 and length <= _LONGEST_HEADER else b""
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(
            f"`{setting}` is {str(path)!r}, which cannot be read: {error.strerror or error}. Check the "
            "permissions of the file and the drive that it is on."
        ) from error
    if not text or start in _NO_WEIGHTS:
        raise _no_weights(setting, path, _NO_WEIGHTS.get(start, "is no safetensors file"))
    if len(text) < length:
        raise incomplete(setting, path, size=size, expected=f"more than {8 + length:,} bytes")
    header = _parsed(setting, path, text)
    end = max((place.end for place in header.places.values()), default=8 + length)
    if end != size:
        raise incomplete(setting, path, size=size, expected=f"{end:,} bytes")
    return header


def incomplete(setting: str, path: Path, *, size: int, expected: str) -> ModelError:
    """Return the error about a file that was not copied or downloaded completely."""
    return ModelError(
        f"`{setting}` is {str(path)!r}, which is incomplete or damaged: it has {size:,} bytes, and its "
        f"header asks for {expected}. Copy or download it again."
    )


def _parsed(setting: str, path: Path, text: bytes) -> Header:
    begin = 8 + len(text)
    try:
        content = cast("dict[str, Any]", json.loads(text))
        metadata = {str(k): str(v) for k, v in content.pop("__metadata__", {}).items()}
        places = {name: _place(entry, begin) for name, entry in content.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _no_weights(setting, path, "is no safetensors file") from error
    return Header(places, metadata)


def _place(entry: Any, data: int) -> TensorPlace:
    begin, end = entry["data_offsets"]
    return TensorPlace(
        str(entry["dtype"]), tuple(int(size) for size in entry["shape"]), data + begin, data + end
    )


def _no_weights(setting: str, path: Path, found: str) -> ModelError:
    return ModelError(
        f"`{setting}` is {str(path)!r}, which {found}. Download the file itself again, under its own name."
    )
