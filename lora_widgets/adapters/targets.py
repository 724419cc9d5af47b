"""Which modules of a model an adapter attaches to."""

from dataclasses import dataclass
from typing import TypeGuard

from torch import nn

from lora_widgets.adapters.keys import kohya_name
from lora_widgets.families.family import Root

_CONTAINERS = {"Transformer2DModel", "CLIPAttention", "CLIPMLP"}
"""Classes whose linear layers and 1x1 convolutions LoRA adapts: the set of kohya's networks.lora."""


@dataclass(frozen=True)
class Target:
    """A module to adapt and its name in files, for example ``lora_unet_mid_block_attentions_0_proj_in``.

    Other programs may write it under one of ``other_names``.
    """

    name: str
    module: nn.Linear | nn.Conv2d
    other_names: tuple[str, ...] = ()


def targets(root: Root) -> list[Target]:
    """Return what LoRA adapts in a denoiser or text encoder, in the model's order, each once."""
    found: dict[str, Target] = {}
    for path, container in root.module.named_modules():
        if type(container).__name__ not in _CONTAINERS:
            continue
        for inner, module in container.named_modules(prefix=path):
            if isinstance(module, nn.Linear) or _is_pointwise(module):
                found[inner] = _target(root, inner, module)
    return list(found.values())


def _target(root: Root, path: str, module: nn.Linear | nn.Conv2d) -> Target:
    name = kohya_name(root.prefix, root.path_in_files(path))
    # diffusers writes its own paths, and counts no first text encoder.
    theirs = kohya_name("lora_te" if root.prefix == "lora_te1" else root.prefix, path)
    return Target(name, module, other_names=() if theirs == name else (theirs,))


def _is_pointwise(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return isinstance(module, nn.Conv2d) and module.kernel_size == module.stride == (1, 1)
