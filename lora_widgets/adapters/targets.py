"""Which modules of a model an adapter attaches to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor, nn

from lora_widgets.adapters.keys import kohya_name
from lora_widgets.catalog.block_classes import present_class
from lora_widgets.catalog.layer_presets import LAYER_PRESETS, LayerChoice
from lora_widgets.config.adapter_plan import is_chosen
from lora_widgets.families.family import Root, alone
from lora_widgets.families.stored_linear import weight_of

Layer = nn.Linear | nn.Conv2d | nn.LayerNorm | nn.GroupNorm
_KINDS = (nn.Linear, nn.Conv2d, nn.LayerNorm, nn.GroupNorm)

_PLAIN = LAYER_PRESETS["attn-mlp"]
LORA_LAYERS = LayerChoice(_PLAIN.denoiser.blocks | _PLAIN.text.blocks)
"""The linear layers and 1x1 convolutions that LoRA adapts: the sets of kohya's networks."""


@dataclass(frozen=True)
class Member:
    """One module of a target and the rows of the target's weight that are its own.

    ``halves_swapped`` says that the second half of its rows comes first in the target's weight.
    """

    module: Layer
    rows: slice
    halves_swapped: bool = False

    def own(self, stacked: Tensor) -> Tensor:
        """Return this module's rows of a tensor (rows of the target, ...), in the module's order."""
        rows = stacked if self.rows == slice(0, len(stacked)) else stacked[self.rows]
        return _with_halves_swapped(rows) if self.halves_swapped else rows

    def in_files(self, own: Tensor) -> Tensor:
        """Return rows of this module in the order of the target's weight: what undoes ``own``."""
        return _with_halves_swapped(own) if self.halves_swapped else own


@dataclass(frozen=True)
class Target:
    """What is one module in files, for example ``lora_unet_mid_block_attentions_0_proj_in``.

    It has one member, except where files stack the weights of several modules that read the same input. Other
    programs may write it under one of ``other_names``. ``path`` is where files have it in the model, and
    ``blocks`` are its class and those of the modules around it.
    """

    name: str
    members: tuple[Member, ...]
    other_names: tuple[str, ...] = ()
    path: str = ""
    blocks: frozenset[str] = frozenset()

    @property
    def layer(self) -> Layer:
        """The first member's module: what it reads, and where it is, holds for all."""
        return self.members[0].module

    @property
    def num_rows(self) -> int:
        """How many outputs the members have together."""
        return self.members[-1].rows.stop

    @property
    def has_kernel(self) -> bool:
        """Say whether it is a convolution larger than 1x1."""
        return isinstance(self.layer, nn.Conv2d) and self.layer.kernel_size != (1, 1)

    @property
    def is_norm(self) -> bool:
        """Say whether it is a normalisation layer."""
        return isinstance(self.layer, nn.LayerNorm | nn.GroupNorm)

    def weight(self) -> Tensor:
        """Return the base model's weight in float32, as files stack it; without history."""
        return self._stacked([weight_of(member.module) for member in self.members])

    def bias(self) -> Tensor | None:
        """Return the base model's bias in float32, as files stack it, or None."""
        biases = [member.module.bias for member in self.members]
        found = [bias for bias in biases if bias is not None]
        return self._stacked(found) if len(found) == len(biases) else None

    def _stacked(self, tensors: Sequence[Tensor]) -> Tensor:
        pieces = [m.in_files(t.detach().float()) for m, t in zip(self.members, tensors, strict=True)]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def single(name: str, module: Layer, other_names: tuple[str, ...] = ()) -> Target:
    """Return the target that is one module here as in files."""
    return Target(name, (Member(module, slice(0, len(module.weight))),), other_names)


def targets(root: Root, choice: LayerChoice = LORA_LAYERS) -> list[Target]:
    """Return what an adapter changes in a denoiser or text encoder, in the model's order, each once."""
    modules = dict(root.module.named_modules())
    chosen = [
        path
        for path, module in modules.items()
        if _is_adaptable(module, choice)
        and is_chosen(root.path_in_files(path), _classes(path, modules), choice)
    ]
    by_path: dict[str, list[str]] = {}
    for path in chosen:
        by_path.setdefault(root.path_in_files(path), []).append(path)
    if root.place_in_files is not alone:
        by_path = _completed(root, by_path, modules)
    return [_target(root, paths, modules) for paths in by_path.values()]


def _classes(path: str, modules: Mapping[str, nn.Module]) -> frozenset[str]:
    """Return the class of a layer, whatever is kept of its weight, and those of the modules that it is in."""
    steps, own = path.split("."), modules[path]
    kind = next(kind for kind in _KINDS if isinstance(own, kind))
    around = (type(modules[".".join(steps[:depth])]) for depth in range(len(steps)))
    return frozenset(present_class(found.__name__) for found in (kind, *around))


def _is_adaptable(module: nn.Module, choice: LayerChoice) -> TypeGuard[Layer]:
    if isinstance(module, nn.LayerNorm | nn.GroupNorm):
        return choice.norms and module.weight is not None
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 and (choice.kernels or module.kernel_size == module.stride == (1, 1))
    return isinstance(module, nn.Linear)


def _completed(
    root: Root, by_path: dict[str, list[str]], modules: dict[str, nn.Module]
) -> dict[str, list[str]]:
    """Add to each stack the members that were not chosen: files have all of it or nothing."""
    whole: dict[str, list[str]] = {path: [] for path in by_path}
    for path, module in modules.items():
        in_files = root.path_in_files(path)
        if in_files in whole and isinstance(module, Layer):
            whole[in_files].append(path)
    return whole


def _target(root: Root, paths: list[str], modules: dict[str, nn.Module]) -> Target:
    in_files = root.path_in_files(paths[0])
    name = kohya_name(root.prefix, in_files)
    members, end = [], 0
    for path in sorted(paths, key=root.place_in_files):
        module = modules[path]
        assert isinstance(module, Layer)  # nothing else was chosen
        start, end = end, end + len(module.weight)
        members.append(Member(module, slice(start, end), path in root.halves_swapped))
    blocks = frozenset[str]().union(*(_classes(path, modules) for path in paths))
    # diffusers writes its own paths, and counts no first text encoder; none holds stacked ones together.
    theirs = kohya_name("lora_te" if root.prefix == "lora_te1" else root.prefix, paths[0])
    others = () if theirs == name or len(paths) > 1 else (theirs,)
    return Target(name, tuple(members), other_names=others, path=in_files, blocks=blocks)


def _with_halves_swapped(rows: Tensor) -> Tensor:
    return rows.roll(len(rows) // 2, 0)
