"""One adapter made of several, or of one with fewer ranks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_widgets.adapters.weight_change import type_of
from lora_widgets.errors import ConfigError
from lora_widgets.lora_files.fusing import strength
from lora_widgets.lora_files.lora_file import LoraFile, Modules
from lora_widgets.lora_files.lowrank import Keep, is_low_rank, resized, without_core

Progress = Callable[[int, int], None]
Tensors = dict[str, Tensor]
_ADDED_UP = {"diff", "diff_b", "w_norm", "b_norm"}


@dataclass(frozen=True)
class Resized:
    """Modules with fewer ranks; ``ranks`` and ``shares`` (of the norm that is kept) are by module."""

    modules: Modules
    ranks: Mapping[str, int]
    shares: Mapping[str, float]


def resized_modules(modules: Modules, keep: Keep, progress: Progress) -> Resized:
    """Return modules with the ranks that ``keep`` leaves; norms and whole differences stay as they are.

    Raises:
        ConfigError: a module is of a type that has no ranks to leave out.
    """
    found: dict[str, Tensors] = {}
    ranks: dict[str, int] = {}
    shares: dict[str, float] = {}
    for done, (name, tensors) in enumerate(modules.items(), 1):
        if tensors.keys() <= _ADDED_UP:
            found[name] = dict(tensors)
        elif is_low_rank(tensors):
            result = resized(tensors, keep)
            found[name], ranks[name], shares[name] = result.tensors, result.rank, result.share
        else:
            raise _not_low_rank(name, tensors, "given another rank")
        progress(done, len(modules))
    return Resized(found, ranks, shares)


def merged(files: Sequence[tuple[LoraFile, float]]) -> Modules:
    """Return the weighted sum of several files, exactly: the ranks of a module's parts add up.

    Raises:
        ConfigError: files are of different families, or a module is of a type that cannot be added up.
    """
    families = {file.layout.family for file, _ in files}
    if len(families) > 1:
        raise ConfigError(
            f"The files are for different families ({' and '.join(sorted(families))}), whose layers have "
            "nothing in common. Merge files of one family."
        )
    names = dict.fromkeys(name for file, _ in files for name in file.modules)
    return {
        name: _sum(name, [(file.modules[name], weight) for file, weight in files if name in file.modules])
        for name in names
    }


def _sum(name: str, parts: Sequence[tuple[Tensors, float]]) -> Tensors:
    if all(tensors.keys() <= _ADDED_UP for tensors, _ in parts):
        keys = dict.fromkeys(key for tensors, _ in parts for key in tensors)
        return {key: _weighted([(t[key], w) for t, w in parts if key in t]) for key in keys}
    for tensors, _ in parts:
        if not is_low_rank(tensors):
            raise _not_low_rank(name, tensors, "merged with another")
    plain = [(without_core(tensors), weight) for tensors, weight in parts]
    shapes = {(len(t["lora_up.weight"]), *t["lora_down.weight"].shape[1:]) for t, _ in plain}
    if len(shapes) > 1:
        raise ConfigError(
            f"{name} has different sizes in the files ({' and '.join(map(str, sorted(shapes)))}), so they "
            "are for different models. Merge files for one base model."
        )
    downs = torch.cat([tensors["lora_down.weight"].float() for tensors, _ in plain])
    ups = [tensors["lora_up.weight"].float() * (strength(tensors) * weight) for tensors, weight in plain]
    dtype = parts[0][0]["lora_up.weight"].dtype
    return {
        "lora_down.weight": downs.to(dtype),
        "lora_up.weight": torch.cat(ups, dim=1).to(dtype),
        "alpha": torch.tensor(float(len(downs))),
    }


def _weighted(parts: Sequence[tuple[Tensor, float]]) -> Tensor:
    total = sum((tensor.float() * weight for tensor, weight in parts), torch.zeros(()))
    return total.to(parts[0][0].dtype)


def _not_low_rank(name: str, tensors: Mapping[str, Tensor], what: str) -> ConfigError:
    return ConfigError(
        f"{name} is of the type {type_of(tensors) or 'unknown'}, which cannot be {what} in a file: only "
        "LoRA, LoCon and DyLoRA can. Merge such a file into a base model instead."
    )
