"""Which layers of a model get which part of an adapter, decided before anything is made."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from lora_widgets.adapters.part import Part
from lora_widgets.adapters.targets import Target, targets
from lora_widgets.adapters.weight_change import rank_of
from lora_widgets.config.adapter_plan import Options, choice_for, options_for, planned
from lora_widgets.config.layer_presets import layers_of
from lora_widgets.families.family import Root
from lora_widgets.families.stored_linear import weight_shape

_RANKED = ("lora", "locon", "dylora", "dora", "loha", "glora")


def parts_of(root: Root, component: str, config: Any, *, sizes: Mapping[str, Tensor] | None) -> list[Part]:
    """Return the parts of an adapter in one component, in the model's order.

    ``sizes`` are the tensors of a file that says which layers there are and how large; else the settings do.
    """
    preset = layers_of(config.preset, lora_type=config.lora_type)
    options, choice = options_for(config), choice_for(component, config, preset)
    found = [(target, planned(target, config, preset, options)) for target in targets(root, choice)]
    parts = [Part(target, p.algorithm, p.rank, p.alpha, p.options) for target, p in found if p.rank > 0]
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
