"""Which modules of a model an adapter attaches to."""

from dataclasses import dataclass
from typing import TypeGuard

from torch import Tensor, nn

from lora_widgets.adapters.keys import kohya_name
from lora_widgets.families.family import Root

_CONTAINERS = {
    "Transformer2DModel",
    "FluxTransformerBlock",
    "FluxSingleTransformerBlock",
    "JointTransformerBlock",
    "CLIPAttention",
    "CLIPMLP",
    "T5Attention",
    "T5DenseActDense",
    "T5DenseGatedActDense",
}
"""Classes whose linear layers and 1x1 convolutions LoRA adapts: the sets of kohya's networks."""

Layer = nn.Linear | nn.Conv2d


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
        return rows.roll(len(rows) // 2, 0) if self.halves_swapped else rows


@dataclass(frozen=True)
class Target:
    """What is one module in files, for example ``lora_unet_mid_block_attentions_0_proj_in``.

    It has one member, except where files stack the weights of several modules that read the same input. Other
    programs may write it under one of ``other_names``.
    """

    name: str
    members: tuple[Member, ...]
    other_names: tuple[str, ...] = ()

    @property
    def layer(self) -> Layer:
        """The first member's module: what it reads, and where it is, holds for all."""
        return self.members[0].module

    @property
    def num_rows(self) -> int:
        """How many outputs the members have together."""
        return self.members[-1].rows.stop


def single(name: str, module: Layer, other_names: tuple[str, ...] = ()) -> Target:
    """Return the target that is one module here as in files."""
    return Target(name, (Member(module, slice(0, num_outputs(module))),), other_names)


def num_outputs(module: Layer) -> int:
    """Return the number of rows of a module's weight."""
    return module.out_features if isinstance(module, nn.Linear) else module.out_channels


def targets(root: Root) -> list[Target]:
    """Return what LoRA adapts in a denoiser or text encoder, in the model's order, each once."""
    found: dict[str, Layer] = {}
    for path, container in root.module.named_modules():
        if type(container).__name__ not in _CONTAINERS:
            continue
        for inner, module in container.named_modules(prefix=path):
            if isinstance(module, nn.Linear) or _is_pointwise(module):
                found[inner] = module
    by_path: dict[str, list[str]] = {}
    for path in found:
        by_path.setdefault(root.path_in_files(path), []).append(path)
    return [_target(root, paths, found) for paths in by_path.values()]


def _target(root: Root, paths: list[str], modules: dict[str, Layer]) -> Target:
    name = kohya_name(root.prefix, root.path_in_files(paths[0]))
    members, end = [], 0
    for path in sorted(paths, key=root.place_in_files):
        start, end = end, end + num_outputs(modules[path])
        members.append(Member(modules[path], slice(start, end), path in root.halves_swapped))
    if len(paths) > 1:  # no file of other programs holds these together under a name of one of them
        return Target(name, tuple(members))
    # diffusers writes its own paths, and counts no first text encoder.
    theirs = kohya_name("lora_te" if root.prefix == "lora_te1" else root.prefix, paths[0])
    return Target(name, tuple(members), other_names=() if theirs == name else (theirs,))


def _is_pointwise(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return isinstance(module, nn.Conv2d) and module.kernel_size == module.stride == (1, 1)
