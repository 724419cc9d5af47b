"""Merging adapters into a base model: a new model that needs no adapter any more."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lora_widgets.errors import ModelError
from lora_widgets.lora_files.base_model import BaseModel, Slot
from lora_widgets.lora_files.changes import change_of, refuse_other_family
from lora_widgets.lora_files.lora_file import LoraFile
from lora_widgets.lora_files.safetensors_file import DTYPES, Entry, write_stream

Progress = Callable[[int, int], None]
BIASES = {"diff_b", "b_norm"}


@dataclass(frozen=True)
class _Share:
    """What a module adds to a tensor: rows ``begin`` to ``end`` of its change belong in ``slot``."""

    module: str
    slot: Slot
    begin: int
    end: int
    is_bias: bool


def bake(
    base: BaseModel,
    files: Sequence[tuple[LoraFile, float]],
    target: Path,
    *,
    dtype: torch.dtype | None,
    progress: Progress,
) -> None:
    """Write ``base`` with the weighted changes of ``files`` added; ``dtype`` None keeps each tensor's own.

    A base in one file becomes the file ``target``, a folder a folder; neither exists before it is complete.
    Each tensor is read, changed and written before the next one: only the adapters are in memory beside it.

    Raises:
        ConfigError: a file is for another family.
        ModelError: the base lacks a module of a file, or has another size there.
    """
    for file, _ in files:
        _refuse_other_base(base, file)
    shares = _shares(base, files)
    total, done = sum(len(file.shapes) for file in base.files.values()), 0

    def changed(name: str) -> Tensor:
        nonlocal done
        done += 1
        progress(done, total)
        return _changed(base, files, name, shares.get(name, []))

    folder = target.with_name(f".{target.name}.part")
    for place, weights in base.files.items():
        path = folder / place if base.is_folder else target
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = {name: _dtype(base, f"{place}::{name}") for name in weights.shapes}
        entries: list[Entry] = [
            (name, dtype if dtype is not None and own.is_floating_point else own, tuple(weights.shapes[name]))
            for name, own in stored.items()
        ]
        write_stream(path, entries, lambda name, place=place: changed(f"{place}::{name}"), weights.metadata)
    if base.is_folder:
        _copy_the_rest(base, folder)
        folder.replace(target)


def _changed(
    base: BaseModel, files: Sequence[tuple[LoraFile, float]], name: str, shares: Sequence[_Share]
) -> Tensor:
    stored = base.read(name)
    if not shares:
        return stored
    tensor = stored.float()
    for share in shares:
        for file, weight in files:
            if share.module not in file.modules:
                continue
            change = change_of(base, share.module, file.modules[share.module])
            own_change = change.bias if share.is_bias else change.weight
            if own_change is not None:
                rows = share.slot.given_back(own_change[share.begin : share.end]) * weight
                own = tensor if share.slot.rows is None else tensor[share.slot.rows]
                own += rows.reshape(own.shape)
    return tensor


def _shares(base: BaseModel, files: Sequence[tuple[LoraFile, float]]) -> dict[str, list[_Share]]:
    """Return, by tensor of the base, what modules add to it."""
    shares: dict[str, list[_Share]] = {}
    for module in dict.fromkeys(name for file, _ in files for name in file.modules):
        keys = {key for file, _ in files for key in file.modules.get(module, {})}
        found = base.modules[module]
        for slots, is_bias in ((found.weight, False), (found.bias if keys & BIASES else [], True)):
            end = 0
            for slot in slots:
                rows = base.shape(slot.tensor)[0]
                begin, end = end, end + (rows if slot.rows is None else len(range(rows)[slot.rows]))
                shares.setdefault(slot.tensor, []).append(_Share(module, slot, begin, end, is_bias))
    return shares


def _refuse_other_base(base: BaseModel, file: LoraFile) -> None:
    refuse_other_family(base, file)
    if missing := [name for name in file.modules if not base.modules.get(name, None)]:
        raise ModelError(
            f"The base model lacks {len(missing)} of the {len(file.modules)} modules of the adapter, such as "
            f"{missing[0]}. If these are text encoders, choose a file that holds them too."
        )


def _dtype(base: BaseModel, name: str) -> torch.dtype:
    place, _, tensor = name.partition("::")
    header = base.files[place].header
    return base.read(name).dtype if header is None else DTYPES[header.places[tensor].dtype]


def _copy_the_rest(base: BaseModel, target: Path) -> None:
    """Copy configurations, tokenizers and other parts; weights in other formats stay behind."""
    for path in sorted(base.root.rglob("*")):
        place = path.relative_to(base.root)
        beside = {str(Path(file).parent) for file in base.files}
        is_weight = path.suffix in (".safetensors", ".bin", ".ckpt", ".pt", ".msgpack", ".onnx")
        if path.is_dir() or (is_weight and str(place.parent) in beside):
            continue
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / place)
