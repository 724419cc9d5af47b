"""An adapter from two models: what one has that the other lacks, in few ranks."""

import re
from collections.abc import Callable

import torch

from lora_widgets.errors import ConfigError, ModelError
from lora_widgets.lora_files.base_model import BaseModel
from lora_widgets.lora_files.combine import Resized
from lora_widgets.lora_files.lowrank import Keep, Tensors, from_change

Progress = Callable[[int, int], None]
_LAYERS = re.compile(
    r"lora_unet_.*(attentions_\d+|(in|out)put_blocks_\d+_1|middle_block_1)_(proj_|transformer_blocks_)"
    r"|lora_unet_(double|single|joint)_blocks_|lora_te\d?_.*(self_attn|mlp|SelfAttention|DenseReluDense)"
)
"""The layers that LoRA adapts by default."""
_NOTHING = 1e-6
"""A change smaller than this share of the weight is what rounding made of none."""


def extracted(base: BaseModel, tuned: BaseModel, keep: Keep, *, kernels: bool, progress: Progress) -> Resized:
    """Return the adapter that turns ``base`` into ``tuned``, of as many ranks as ``keep`` says.

    It has the layers that LoRA adapts; with ``kernels`` also every other layer with a matrix or a kernel.

    Raises:
        ConfigError: the models are of different families, or equal.
        ModelError: they are of different sizes.
    """
    if base.family != tuned.family:
        raise ConfigError(
            f"The base is a {base.family} model and the other one is {tuned.family}: nothing can be "
            "compared. Choose two models of one family."
        )
    shared = [name for name in base.modules if name in tuned.modules]
    names = [name for name in shared if _is_wanted(base, name, kernels=kernels)]
    found: dict[str, Tensors] = {}
    ranks: dict[str, int] = {}
    shares: dict[str, float] = {}
    for done, name in enumerate(names, 1):
        if base.size(name) != tuned.size(name):
            raise ModelError(
                f"{name} has {base.size(name)} numbers in the base model and {tuned.size(name)} in the other "
                "one. Choose two models of one size."
            )
        weight = base.stacked(base.modules[name].weight)
        change = tuned.stacked(tuned.modules[name].weight) - weight
        if torch.linalg.vector_norm(change) > _NOTHING * torch.linalg.vector_norm(weight):
            result = from_change(change, keep)
            found[name], ranks[name], shares[name] = result.tensors, result.rank, result.share
        progress(done, len(names))
    if not found:
        raise ConfigError(
            "The two models are equal in every layer that an adapter could change. Is it the same file twice?"
        )
    return Resized(found, ranks, shares)


def _is_wanted(base: BaseModel, name: str, *, kernels: bool) -> bool:
    if not base.modules[name].weight or len(base.size(name)) not in (2, 4):
        return False
    return bool(_LAYERS.match(name)) or (kernels and name.startswith("lora_unet_"))
