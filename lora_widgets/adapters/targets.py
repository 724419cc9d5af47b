"""Which modules of a model an adapter attaches to."""

from dataclasses import dataclass
from typing import TypeGuard

from torch import nn

from lora_widgets.adapters.keys import kohya_name

_CONTAINERS = {"Transformer2DModel", "CLIPAttention", "CLIPMLP"}
"""Classes whose linear layers and 1x1 convolutions LoRA adapts: the set of kohya's networks.lora."""


@dataclass(frozen=True)
class Target:
    """A module to adapt and its name in files, for example ``lora_unet_mid_block_attentions_0_proj_in``."""

    name: str
    module: nn.Linear | nn.Conv2d


def targets(root: nn.Module, prefix: str) -> list[Target]:
    """Return what LoRA adapts in a denoiser or text encoder, in the model's order, each once."""
    found: dict[str, Target] = {}
    for path, container in root.named_modules():
        if type(container).__name__ not in _CONTAINERS:
            continue
        for inner, module in container.named_modules(prefix=path):
            if isinstance(module, nn.Linear) or _is_pointwise(module):
                found[inner] = Target(kohya_name(prefix, inner), module)
    return list(found.values())


def _is_pointwise(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return isinstance(module, nn.Conv2d) and module.kernel_size == module.stride == (1, 1)
