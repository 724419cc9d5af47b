"""What is wrong with an adapter file, in sentences; with a base model at hand also whether it fits."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lora_widgets.adapters.weight_change import type_of, weight_change
from lora_widgets.lora_files.base_model import BaseModel
from lora_widgets.lora_files.finite import all_finite
from lora_widgets.lora_files.lora_file import LoraFile

_GATES = {
    "LoRA": ("lora_up.weight", "lora_down.weight"),
    "LoHa": ("hada_w1_a", "hada_w2_a"),
    "LoKR": ("lokr_w1", "lokr_w2", "lokr_w2_b"),
    "GLoRA": ("b2.weight",),
    "(IA)³": ("weight",),
    "Native Fine-Tuning": ("diff",),
    "norm": ("w_norm",),
    "Diag-OFT": ("oft_blocks",),
    "BOFT": ("oft_blocks",),
}
"""Tensors of each type without which it changes nothing."""


def problems_of(file: LoraFile, tensors: Mapping[str, Tensor], base: BaseModel | None) -> list[str]:
    """Return a sentence for each kind of problem; ``tensors`` are those of the file by its own keys."""
    found = [
        *_counted(
            _not_finite(tensors), "tensors hold NaN or infinite numbers: pictures will be black or noise"
        ),
        *_counted(list(file.unknown), "tensors are of no adapter type that is known, so programs skip them"),
        *_counted(_untyped(file), "modules lack tensors that their type needs"),
        *_counted(_without_effect(file), "modules are all zero: they were not trained, or are damaged"),
    ]
    if base is None:
        return found
    if file.family is None or file.family != base.family:
        return [*found, f"It is for {file.family or 'an unknown family'}, the base model is {base.family}."]
    missing = [name for name in file.modules if name not in base.modules]
    return [
        *found,
        *_counted(missing, "modules are not in the base model"),
        *_counted(_unfit(file, base), "modules have other sizes than the base model's"),
    ]


def _counted(names: list[str], what: str) -> list[str]:
    return [f"{len(names)} {what} (for example {names[0]})."] if names else []


def _not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    return [name for name, tensor in tensors.items() if not all_finite(tensor)]


def _untyped(file: LoraFile) -> list[str]:
    return [
        name
        for name, own in file.modules.items()
        if type_of(own) is None or ("lora_up.weight" in own) != ("lora_down.weight" in own)
    ]


def _without_effect(file: LoraFile) -> list[str]:
    found: list[str] = []
    for name, own in file.modules.items():
        gates = [own[gate] for gate in _GATES.get(type_of(own) or "", ()) if gate in own]
        if gates and any(not bool(gate.any()) for gate in gates):
            found.append(name)
    return found


def _unfit(file: LoraFile, base: BaseModel) -> list[str]:
    """Return the modules that cannot change the weight of their name; numbers do not matter here."""
    found: list[str] = []
    for name, own in file.modules.items():
        if name not in base.modules or not base.modules[name].weight or type_of(own) is None:
            continue
        try:
            size = base.size(name)
            change, _ = weight_change(own, torch.zeros(size))
            if change.shape != size:
                found.append(name)
        except (RuntimeError, KeyError, ValueError, IndexError):  # tensors of other sizes fail in many ways
            found.append(name)
    return found
