"""Reading single weight files: what is in them, and their tensors one after the other.

A .safetensors file is read in the order of the file, straight into each tensor: no second copy exists, and
nothing of the file stays mapped that another program could change. A .ckpt is a pickle, which could hold
program code: only tensors are taken from it, and a file that asks for more is refused.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from lora_widgets.catalog.weight_files import FileKind, Shapes, kind_of
from lora_widgets.config.misplaced import misplaced
from lora_widgets.config.weight_headers import Header, is_weight_file, read_header, refuse_gguf
from lora_widgets.errors import ModelError

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
# Names that trainers leave beside the weights, such as the best loss as a number of numpy: each stands for
# nothing here, so that nothing of it is ever called.
_HARMLESS = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
)
_REFUSED = re.compile(r"GLOBAL (?P<name>\S+)|unrecognized function|unsupported class|Can only (build|create)")


@dataclass(frozen=True)
class WeightFile:
    """An opened weight file; ``setting`` is the setting it came from, for messages."""

    setting: str
    path: Path
    shapes: Shapes
    metadata: Mapping[str, str]
    header: Header | None

    @property
    def kind(self) -> FileKind:
        """What the file is."""
        return kind_of(self.shapes)

    def refuse_misplaced(self, model_type: str) -> None:
        """Make sure that it is what its setting asks for.

        Raises:
            ModelError: it is something else, or of another family.
        """
        wrong = misplaced(self.setting, str(self.path), self.kind, model_type=model_type)
        if wrong:
            raise ModelError(f"{wrong.message} {wrong.remedy}")

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield tensors on the CPU, as stored; of a .safetensors file one at a time.

        Raises:
            ModelError: the file was changed or cannot be read any more.
        """
        if self.header is None:
            tensors = _pickled(self.setting, self.path)[0]
            yield from ((name, tensors[name]) for name in names)
        else:
            yield from _streamed(self.setting, self.path, self.header, names)


def find_weight_file(setting: str, value: str) -> WeightFile | None:
    """Open the single file a setting names; None if it names none: a folder, a hub id, nothing.

    Raises:
        ModelError: it is no weight file, damaged, or holds program code.
    """
    path = Path(value).expanduser()
    try:
        if not path.is_file():
            return None
    except (OSError, ValueError):  # too long, or no possible name
        return None
    refuse_gguf(setting, value)
    if not is_weight_file(path.name):
        raise ModelError(
            f"`{setting}` is {value!r}, but weights are in files that end with .safetensors or .ckpt. Choose "
            "such a file."
        )
    if path.suffix.lower() == ".safetensors":
        header = read_header(setting, path)
        return WeightFile(setting, path, header.shapes, header.metadata, header)
    tensors, shapes = _pickled(setting, path)
    del tensors
    return WeightFile(setting, path, shapes, {}, None)


def _streamed(setting: str, path: Path, header: Header, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
    places = sorted(((name, header.places[name]) for name in set(names)), key=lambda item: item[1].begin)
    for name, place in places:
        if place.dtype not in _DTYPES:
            raise ModelError(
                f"`{setting}` is {str(path)!r}, whose {name} is stored as {place.dtype}, a number format "
                "that cannot be read here. Use a file in fp16, bf16 or fp32."
            )
    try:
        with path.open("rb", buffering=0) as file:
            for name, place in places:
                yield name, _read(file, place.dtype, place.shape, place.begin)
    except (OSError, EOFError) as error:
        raise ModelError(
            f"`{setting}` is {str(path)!r}, which cannot be read any more: {error}. Was it moved or changed? "
            "Start again when it is whole."
        ) from error


def _read(file: Any, dtype: str, shape: tuple[int, ...], begin: int) -> Tensor:
    tensor = torch.empty(shape, dtype=_DTYPES[dtype])
    if not tensor.numel():
        return tensor
    room = memoryview(cast("Any", tensor.view(-1).view(torch.uint8).numpy()))
    file.seek(begin)
    while room:
        count = file.readinto(room)
        if not count:
            raise EOFError("it has become shorter")
        room = room[count:]
    return tensor


def _pickled(setting: str, path: Path) -> tuple[dict[str, Tensor], dict[str, tuple[int, ...]]]:
    """Return the tensors of a .ckpt, mapped into memory where the file allows it, and their shapes.

    Raises:
        ModelError: it holds program code, or is damaged.
    """
    is_zip = _begins_with(setting, path, b"PK")
    try:
        with torch.serialization.safe_globals([(_Ignored, name) for name in _HARMLESS]):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # torch and pickle raise many kinds for a damaged file
        code = _REFUSED.search(str(error))
        if code:
            raise _holds_code(setting, path, code["name"] or "") from error
        # Without torch's own words: they advise to load the file with its code.
        raise ModelError(
            f"`{setting}` is {str(path)!r}, which is damaged or no weight file. Copy or download it again."
        ) from error
    tensors = dict(_flat(content))
    return tensors, {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _flat(content: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors by name; those of a trainer's "state_dict" under their own names."""
    if isinstance(content, Tensor):
        yield prefix.removesuffix("."), content
    elif isinstance(content, dict):
        for name, value in content.items():
            inside = "" if name == "state_dict" and not prefix else f"{prefix}{name}."
            yield from _flat(value, inside)


class _Ignored:
    """Stands in for what is no weight, however it is made."""

    def __new__(cls, *_arguments: object) -> "_Ignored":
        return super().__new__(cls)

    def __setstate__(self, _state: object) -> None:
        pass


def _begins_with(setting: str, path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError as error:
        raise ModelError(
            f"`{setting}` is {str(path)!r}, which cannot be read: {error.strerror or error}. Check the "
            "permissions of the file and the drive that it is on."
        ) from error


def _holds_code(setting: str, path: Path, name: str) -> ModelError:
    return ModelError(
        f"`{setting}` is {str(path)!r}, which holds more than weights{f' ({name})' if name else ''}: such a "
        "file can run any program on this machine, so it is not opened. Use a .safetensors file of it."
    )
