"""Which layers of a model get which part of an adapter, decided before anything is made."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from torch import Tensor

from lora_widgets.adapters.blocks import block_of
from lora_widgets.adapters.part import Options, Part
from lora_widgets.adapters.targets import Target, matches, targets
from lora_widgets.adapters.weight_change import rank_of
from lora_widgets.catalog.layer_presets import LayerOverride, LayerPreset
from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.config.layer_presets import layers_of
from lora_widgets.config.number_list import numbers_of
from lora_widgets.families.family import Root
from lora_widgets.families.stored_linear import weight_shape

_RANKED = ("lora", "locon", "dylora", "dora", "loha", "glora")


def parts_of(root: Root, component: str, config: Any, *, sizes: Mapping[str, Tensor] | None) -> list[Part]:
    """Return the parts of an adapter in one component, in the model's order.

    ``sizes`` are the tensors of a file that says which layers there are and how large; else the settings do.
    """
    preset = layers_of(config.preset, lora_type=config.lora_type)
    choice = preset.denoiser if component == "unet" else preset.text
    choice = replace(choice, norms=config.train_norm and "train_norm" in LORA_TYPES[config.lora_type].reads)
    if config.conv_dim == 0 and "conv_dim" in LORA_TYPES[config.lora_type].reads:
        choice = replace(choice, kernels=False)
    found = (_part(target, config, preset) for target in targets(root, choice))
    parts = [part for part in found if part.rank > 0]
    return parts if sizes is None else list(_with_sizes(parts, sizes))


def too_large(parts: Sequence[Part]) -> tuple[str, ...]:
    """Return a sentence about layers that are smaller than the rank they get."""
    found = [part for part in parts if part.algorithm in _RANKED and part.rank > _smaller_side(part.target)]
    if not found:
        return ()
    least = min(found, key=lambda part: _smaller_side(part.target))
    return (
        f"{len(found)} of {len(parts)} layers are smaller than the rank they get (`network_dim`, `conv_dim` "
        f"or `block_dims`): {least.target.name} has {_smaller_side(least.target)} channels and rank "
        f"{least.rank}. More than the channels is of no use there; a smaller rank makes a smaller file.",
    )


def _part(target: Target, config: Any, preset: LayerPreset) -> Part:
    row = LORA_TYPES[config.lora_type]
    if target.is_norm:
        return Part(target, "norm", 1, 1.0)
    rank, alpha = _size(target, config)
    part = Part(target, row.algorithm, rank, alpha, _options(config))
    for override in preset.overrides:
        if _applies(override, target, preset):
            part = _overridden(part, override)
    return part


def _options(config: Any) -> Options:
    """Return the finer settings that the type reads, and what it fixes by itself."""
    row = LORA_TYPES[config.lora_type]
    chosen = Options(
        factor=config.factor,
        use_tucker=config.use_tucker,
        use_scalar=config.use_scalar,
        rs_lora=config.rs_lora,
        dora_wd=config.dora_wd,
        wd_on_output=config.wd_on_output,
        decompose_both=config.decompose_both,
        full_matrix=config.full_matrix,
        unbalanced_factorization=config.unbalanced_factorization,
        block_size=config.block_size,
        constraint=config.constraint,
        rescaled=config.rescaled,
    )
    unread = {field.name: field.default for field in fields(Options) if field.name not in row.reads}
    return replace(chosen, **unread | dict(row.arguments))


def _size(target: Target, config: Any) -> tuple[int, float]:
    """Return rank and alpha of a layer; rank 0 leaves it out."""
    if target.has_kernel and "conv_dim" in LORA_TYPES[config.lora_type].reads:
        rank, alpha = config.conv_dim, config.alpha_of_convolutions
        dims, alphas = config.conv_block_dims, config.conv_block_alphas
    else:
        rank, alpha, dims, alphas = config.network_dim, config.alpha, config.block_dims, config.block_alphas
    block = block_of(target.path)
    if block is None or not config.block_dims or "block_dims" not in LORA_TYPES[config.lora_type].reads:
        return rank, alpha
    rank = int(numbers_of(dims)[block]) if dims else rank
    return rank, numbers_of(alphas)[block] if alphas else alpha


def _applies(override: LayerOverride, target: Target, preset: LayerPreset) -> bool:
    if override.of_block:
        return override.pattern in target.blocks
    return matches(override.pattern, target.path, fnmatch=preset.denoiser.fnmatch)


def _overridden(part: Part, override: LayerOverride) -> Part:
    settings: dict[str, Any] = dict(override.settings)
    rank, alpha = settings.pop("dim", part.rank), settings.pop("alpha", part.alpha)
    algorithm = override.algorithm or part.algorithm
    if algorithm == "dora":
        settings["dora_wd"] = True
    return Part(part.target, algorithm, int(rank), float(alpha), replace(part.options, **settings))


def _with_sizes(parts: Sequence[Part], sizes: Mapping[str, Tensor]) -> Iterator[Part]:
    """Yield the parts that a file has, with its ranks and alphas."""
    layers: dict[str, dict[str, Tensor]] = {}
    for key, tensor in sizes.items():
        name, _, tensor_name = key.partition(".")
        layers.setdefault(name, {})[tensor_name] = tensor
    for part in parts:
        names = (part.target.name, *part.target.other_names)
        layer = next((layers[name] for name in names if name in layers), None)
        if layer is None:
            continue
        rank, alpha = rank_of(layer) or part.rank, layer.get("alpha")
        options = _options_of(layer, part)
        yield replace(part, rank=rank, alpha=float(rank if alpha is None else alpha), options=options)


def _options_of(layer: Mapping[str, Tensor], part: Part) -> Options:
    """Return the options with which a layer has the tensors of a file."""
    options = part.options
    if "oft_blocks" in layer:
        limit = float(layer["alpha"]) if "alpha" in layer else 0.0
        return replace(options, constraint=limit, rescaled="rescale" in layer)
    return replace(
        options,
        use_tucker=any(name.endswith(("_t2", "lora_mid.weight")) for name in layer),
        decompose_both="lokr_w1_a" in layer,
        full_matrix="lokr_w1" in layer and "lokr_w2" in layer,
        dora_wd="dora_scale" in layer,
        wd_on_output="dora_scale" not in layer or layer["dora_scale"].shape[0] == part.target.num_rows,
    )


def _smaller_side(target: Target) -> int:
    rows, *rest = weight_shape(target.layer)
    del rows
    size = 1
    for length in rest:
        size *= length
    return min(target.num_rows, size)
