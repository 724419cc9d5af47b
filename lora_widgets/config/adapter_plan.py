"""Which layers of a model an adapter changes, and with what type and size, from the settings alone. Pure.

Asked for the layers of a loaded model, which then get their parts, and for those that the headers of its
files name, whose parts are only counted.
"""

import re
from collections.abc import Set
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Protocol

from lora_widgets.catalog.layer_presets import LayerChoice, LayerOverride, LayerPreset
from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.config.block_numbers import block_of
from lora_widgets.config.number_list import numbers_of


class Layer(Protocol):
    """What decides about a layer: its path in files, the classes of the modules around it, and its kind."""

    @property
    def path(self) -> str:
        """Where files have it in the model."""
        ...

    @property
    def blocks(self) -> Set[str]:
        """The classes of the modules around it."""
        ...

    @property
    def has_kernel(self) -> bool:
        """Whether it is a convolution larger than 1x1."""
        ...

    @property
    def is_norm(self) -> bool:
        """Whether it is a normalisation layer."""
        ...


@dataclass(frozen=True)
class Options:
    """The finer settings of the types, by the names of ``config.lora``; each type reads its own."""

    factor: int = -1
    use_tucker: bool = False
    use_scalar: bool = False
    rs_lora: bool = False
    dora_wd: bool = False
    wd_on_output: bool = True
    decompose_both: bool = False
    full_matrix: bool = False
    unbalanced_factorization: bool = False
    block_size: int = 4
    constraint: float = 0.0
    rescaled: bool = False
    train_on_input: bool = False


@dataclass(frozen=True)
class LayerPlan:
    """``algorithm`` is the name in the catalog; ``rank`` (0: left out) and ``alpha`` are one layer's."""

    algorithm: str
    rank: int
    alpha: float
    options: Options = Options()


def choice_for(component: str, config: Any, preset: LayerPreset) -> LayerChoice:
    """Return the layers that settings choose in "unet" or a text encoder."""
    reads = LORA_TYPES[config.lora_type].reads
    choice = preset.denoiser if component == "unet" else preset.text
    choice = replace(choice, norms=config.train_norm and "train_norm" in reads)
    return replace(choice, kernels=False) if config.conv_dim == 0 and "conv_dim" in reads else choice


def is_chosen(path: str, blocks: Set[str], choice: LayerChoice) -> bool:
    """Say whether a layer with this path in files, in modules of these classes, is among those chosen."""
    if any(matches(pattern, path, fnmatch=choice.fnmatch) for pattern in choice.excluded):
        return False
    if not choice.blocks.isdisjoint(blocks):
        return True
    return any(matches(name, path, fnmatch=choice.fnmatch) for name in choice.names)


def matches(pattern: str, path: str, *, fnmatch: bool = False) -> bool:
    """Say whether a pattern of a preset means the layer at ``path``: from its start, or its last parts."""
    if fnmatch:
        return fnmatchcase(path, pattern)
    return bool(re.match(pattern, path) or re.search(rf"(?:^|\.)(?:{pattern})$", path))


def planned(layer: Layer, config: Any, preset: LayerPreset, options: Options) -> LayerPlan:
    """Return type and size of what a chosen layer gets; ``options`` is the answer of `options_for`."""
    if layer.is_norm:
        return LayerPlan("norm", 1, 1.0)
    rank, alpha = _size(layer, config)
    plan = LayerPlan(LORA_TYPES[config.lora_type].algorithm, rank, alpha, options)
    for override in preset.overrides:
        if _applies(override, layer, preset):
            plan = _overridden(plan, override)
    return plan


def options_for(config: Any) -> Options:
    """Return the finer settings that the type reads, and what it fixes by itself."""
    row = LORA_TYPES[config.lora_type]
    given: dict[str, Any] = {
        "factor": config.factor,
        "use_tucker": config.use_tucker,
        "use_scalar": config.use_scalar,
        "rs_lora": config.rs_lora,
        "dora_wd": config.dora_wd,
        "wd_on_output": config.wd_on_output,
        "decompose_both": config.decompose_both,
        "full_matrix": config.full_matrix,
        "unbalanced_factorization": config.unbalanced_factorization,
        "block_size": config.block_size,
        "constraint": config.constraint,
        "rescaled": config.rescaled,
    }
    chosen = {name: value for name, value in given.items() if name in row.reads}
    chosen.update(row.arguments)
    return Options(**chosen)


def _size(layer: Layer, config: Any) -> tuple[int, float]:
    """Return rank and alpha of a layer; rank 0 leaves it out."""
    reads = LORA_TYPES[config.lora_type].reads
    if layer.has_kernel and "conv_dim" in reads:
        rank, alpha = config.conv_dim, config.alpha_of_convolutions
        dims, alphas = config.conv_block_dims, config.conv_block_alphas
    else:
        rank, alpha, dims, alphas = config.network_dim, config.alpha, config.block_dims, config.block_alphas
    block = block_of(layer.path) if config.block_dims and "block_dims" in reads else None
    if block is None:
        return rank, alpha
    rank = int(numbers_of(dims)[block]) if dims else rank
    return rank, numbers_of(alphas)[block] if alphas else alpha


def _applies(override: LayerOverride, layer: Layer, preset: LayerPreset) -> bool:
    if override.of_block:
        return override.pattern in layer.blocks
    return matches(override.pattern, layer.path, fnmatch=preset.denoiser.fnmatch)


def _overridden(plan: LayerPlan, override: LayerOverride) -> LayerPlan:
    settings: dict[str, Any] = dict(override.settings)
    rank, alpha = settings.pop("dim", plan.rank), settings.pop("alpha", plan.alpha)
    algorithm = override.algorithm or plan.algorithm
    if algorithm == "dora":
        settings["dora_wd"] = True
    return LayerPlan(algorithm, int(rank), float(alpha), replace(plan.options, **settings))
