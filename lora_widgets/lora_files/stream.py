"""Writing a .safetensors file tensor by tensor: only one of them is in memory."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

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


def write_stream(
    path: Path,
    entries: Iterable[Entry],
    read: Callable[[str], Tensor],
    metadata: Mapping[str, str],
) -> None:
    """Write the tensors of ``entries`` (name, dtype, shape), each asked for by ``read`` when its turn comes.

    The file has another name until it is complete; nothing is left of it if ``read`` fails.
    """
    # The largest numbers first: so each tensor begins where its numbers may.
    ordered = sorted(entries, key=lambda entry: (-entry[1].itemsize, entry[0]))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, dtype, shape in ordered:
        begin, end = end, end + dtype.itemsize * _numel(shape)
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    fresh = path.with_name(f".{path.name}.part")
    try:
        with fresh.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name, dtype, shape in ordered:
                file.write(_bytes(read(name).to(dtype).reshape(shape)))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _bytes(tensor: Tensor) -> memoryview:
    return memoryview(cast("Any", tensor.contiguous().reshape(-1).view(torch.uint8).numpy()))


def _numel(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
