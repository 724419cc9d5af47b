"""One adapter made of several, or of one with fewer ranks; every type becomes LoRA where it must."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_widgets.errors import ConfigError
from lora_widgets.lora_files.base_model import BaseModel
from lora_widgets.lora_files.changes import Change, change_in
from lora_widgets.lora_files.fusing import strength
from lora_widgets.lora_files.lora_file import LoraFile, Modules
from lora_widgets.lora_files.lowrank import Keep, LowRank, from_change, is_low_rank, resized, without_core

Progress = Callable[[int, int], None]
Tensors = dict[str, Tensor]
Weighted = Sequence[tuple[LoraFile, float]]
_ADDED_UP = {"diff", "diff_b", "w_norm", "b_norm"}
_AS_DIFFERENCES = {"w_norm": "diff", "b_norm": "diff_b"}
_ALL = Keep(norm_share=1.0)


@dataclass(frozen=True)
class Resized:
    """Modules with fewer ranks; ``ranks`` and ``shares`` (of the norm that is kept) are by module."""

    modules: Modules
    ranks: Mapping[str, int]
    shares: Mapping[str, float]


def resized_modules(file: LoraFile, keep: Keep, base: BaseModel | None, progress: Progress) -> Resized:
    """Return a file's modules as LoRA with the ranks that ``keep`` leaves; norms and biases stay as they are.

    Of the types that are no LoRA, one module's change at a time is made and taken apart.

    Raises:
        ConfigError: a type needs the base model, and ``base`` is None.
        ModelError: the base model does not fit.
        StateError: a module's tensors do not go together.
    """
    found: dict[str, Tensors] = {}
    ranks: dict[str, int] = {}
    shares: dict[str, float] = {}
    for done, (name, tensors) in enumerate(file.modules.items(), 1):
        if _has_no_ranks(tensors):
            found[name] = dict(tensors)
        else:
            result = _resized(file, name, keep, base)
            found[name], ranks[name], shares[name] = result.tensors, result.rank, result.share
        progress(done, len(file.modules))
    return Resized(found, ranks, shares)


def merged(files: Weighted, keep: Keep | None, base: BaseModel | None, progress: Progress) -> Modules:
    """Return the weighted sum of several files: exactly, or as LoRA with the ranks that ``keep`` leaves.

    Exactly, the ranks of a module's parts add up where all are LoRA, and differences stay differences. A sum
    of other types becomes LoRA of all ranks that it has, or a difference where that is smaller.

    Raises:
        ConfigError: files are of different families or sizes, or a type needs the base model.
        ModelError: the base model does not fit.
        StateError: a module's tensors do not go together.
    """
    families = {file.layout.family for file, _ in files}
    if len(families) > 1:
        raise ConfigError(
            f"The files are for different families ({' and '.join(sorted(families))}), whose layers have "
            "nothing in common. Merge files of one family."
        )
    names = list(dict.fromkeys(name for file, _ in files for name in file.modules))
    found: dict[str, Tensors] = {}
    for done, name in enumerate(names, 1):
        parts = [(file, weight) for file, weight in files if name in file.modules]
        total = _sum(name, parts, base)
        found[name] = total if keep is None or _has_no_ranks(total) else _cut_down(total, keep)
        progress(done, len(names))
    return found


def _sum(name: str, parts: Weighted, base: BaseModel | None) -> Tensors:
    owned = [(file.modules[name], weight) for file, weight in parts]
    if all(tensors.keys() <= _ADDED_UP for tensors, _ in owned):
        return _sum_of_differences(owned)
    if all(is_low_rank(tensors) for tensors, _ in owned):
        return _sum_of_low_rank(name, owned)
    return _sum_of_any(name, parts, base)


def _sum_of_differences(parts: Sequence[tuple[Tensors, float]]) -> Tensors:
    keys = {key for tensors, _ in parts for key in tensors}
    if keys & _AS_DIFFERENCES.keys() and keys - _AS_DIFFERENCES.keys():  # one layer, named in two ways
        parts = [({_AS_DIFFERENCES.get(k, k): t for k, t in own.items()}, weight) for own, weight in parts]
    names = dict.fromkeys(key for tensors, _ in parts for key in tensors)
    return {key: _weighted([(t[key], w) for t, w in parts if key in t]) for key in names}


def _sum_of_low_rank(name: str, parts: Sequence[tuple[Tensors, float]]) -> Tensors:
    plain = [(without_core(tensors), weight) for tensors, weight in parts]
    _refuse_sizes(name, {(len(t["lora_up.weight"]), *t["lora_down.weight"].shape[1:]) for t, _ in plain})
    downs = torch.cat([tensors["lora_down.weight"].float() for tensors, _ in plain])
    ups = [tensors["lora_up.weight"].float() * (strength(tensors) * weight) for tensors, weight in plain]
    dtype = _dtype(parts[0][0])
    biases = [(tensors["diff_b"], weight) for tensors, weight in plain if "diff_b" in tensors]
    return {
        "lora_down.weight": downs.to(dtype),
        "lora_up.weight": torch.cat(ups, dim=1).to(dtype),
        "alpha": torch.tensor(float(len(downs))),
        **({"diff_b": _weighted(biases)} if biases else {}),
    }


def _sum_of_any(name: str, parts: Weighted, base: BaseModel | None) -> Tensors:
    """Return the sum as LoRA of all its ranks or as a difference, whichever has fewer numbers."""
    changes = [(change_in(file, name, base), weight) for file, weight in parts]
    _refuse_sizes(name, {tuple(change.weight.shape) for change, _ in changes})
    total = sum((change.weight * weight for change, weight in changes), torch.zeros(()))
    biases = [(change.bias, weight) for change, weight in changes if change.bias is not None]
    summed = Change(total, _weighted(biases) if biases else None)
    dtype = _dtype(parts[0][0].modules[name])
    if total.dim() > 1:
        result = from_change(total, _ALL)
        if result.rank * (len(total) + total[0].numel()) < total.numel():
            return _stored(result.tensors, summed.bias, dtype)
    return _stored({"diff": total}, summed.bias, dtype)


def _resized(file: LoraFile, name: str, keep: Keep, base: BaseModel | None) -> LowRank:
    tensors = file.modules[name]
    if is_low_rank(tensors):
        result, bias = resized(tensors, keep), tensors.get("diff_b")
    else:
        change = change_in(file, name, base)
        result, bias = from_change(change.weight, keep), change.bias
    return LowRank(_stored(result.tensors, bias, _dtype(tensors)), result.rank, result.share)


def _cut_down(total: Tensors, keep: Keep) -> Tensors:
    """Return a sum, which is LoRA or a difference, with the ranks that ``keep`` leaves."""
    result = from_change(total["diff"].float(), keep) if "diff" in total else resized(total, keep)
    return _stored(result.tensors, total.get("diff_b"), _dtype(total))


def _has_no_ranks(tensors: Mapping[str, Tensor]) -> bool:
    """Say whether tensors are changes of a norm or of a bias alone."""
    return tensors.keys() <= _ADDED_UP and ("diff" not in tensors or tensors["diff"].dim() < 2)


def _stored(tensors: Tensors, bias: Tensor | None, dtype: torch.dtype) -> Tensors:
    """Return tensors in the number format of the source; only alpha, which is a scalar, stays as it is."""
    found = {key: tensor.to(dtype) if tensor.dim() else tensor for key, tensor in tensors.items()}
    return found if bias is None else {**found, "diff_b": bias.to(dtype)}


def _dtype(tensors: Mapping[str, Tensor]) -> torch.dtype:
    """Return the number format of a module: that of its largest tensor."""
    return max(tensors.values(), key=Tensor.numel).dtype


def _weighted(parts: Sequence[tuple[Tensor, float]]) -> Tensor:
    total = sum((tensor.float() * weight for tensor, weight in parts), torch.zeros(()))
    return total.to(parts[0][0].dtype)


def _refuse_sizes(name: str, shapes: set[tuple[int, ...]]) -> None:
    if len(shapes) > 1:
        raise ConfigError(
            f"{name} has different sizes in the files ({' and '.join(map(str, sorted(shapes)))}), so they "
            "are for different models. Merge files for one base model."
        )
