"""The layers of a base model that an adapter can change, by names and shapes in its files; torch-free."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from lora_widgets.catalog.block_classes import classes_around, own_class
from lora_widgets.catalog.families import FAMILIES
from lora_widgets.catalog.native_paths import NativeBlocks, members_of, native_path
from lora_widgets.catalog.text_paths import PROJECTION, WITH_PROJECTION, clip_path
from lora_widgets.catalog.transformer_paths import FLUX_BLOCKS, FLUX_OUTSIDE, SD3_BLOCKS, SD3_OUTSIDE
from lora_widgets.catalog.unet_paths import from_ldm, sgm_path
from lora_widgets.config.facts import LayerFacts

Shapes = Mapping[str, tuple[int, ...]]
Weight = tuple[tuple[str, ...], tuple[int, ...], bool]
"""The paths of the modules that are one weight in the file, its shape, and whether there is a bias."""

_NATIVE: dict[str, tuple[tuple[NativeBlocks, ...], Mapping[str, str]]] = {
    "Flux": (FLUX_BLOCKS, FLUX_OUTSIDE),
    "SD3": (SD3_BLOCKS, SD3_OUTSIDE),
}
_BEGINNINGS = re.compile(
    r"model\.diffusion_model\.|(cond_stage_model|conditioner\.embedders\.\d|text_encoders\.clip_[lg])"
    r"(\.model)?\.transformer\.|conditioner\.embedders\.1\.model\."
)
# OpenCLIP's names, of the second text encoder in a single file of SDXL, and those of transformers.
_OPEN_CLIP = (
    (re.compile(r"^(?:transformer\.)?resblocks\."), "encoder.layers."),
    (re.compile(r"\.attn\.out_proj$"), ".self_attn.out_proj"),
    (re.compile(r"\.ln_(\d)$"), r".layer_norm\1"),
    (re.compile(r"\.mlp\.c_fc$"), ".mlp.fc1"),
    (re.compile(r"\.mlp\.c_proj$"), ".mlp.fc2"),
    (re.compile(r"^ln_final$"), "final_layer_norm"),
)
_STACKED_IN_OPEN_CLIP = re.compile(r"^(?:transformer\.)?resblocks\.(\d+)\.attn\.in_proj_weight$")
_EMBEDDING = re.compile(r"(token_embedding|position_embedding|embed_tokens|shared)$")
_NORM_OF_ANOTHER_KIND = re.compile(r"(norm_\w*[qk]|ln_[qk]|norm\.\w+_norm)$")  # RMSNorm has no adapter
_T5 = "block.0.layer.0.SelfAttention.q.weight"


def adaptable_layers(shapes: Shapes, *, component: str, family: str) -> tuple[LayerFacts, ...]:
    """Return the linear layers, convolutions and norms of one component, as files stack them.

    ``component`` is "unet" or the number of a text encoder, "1" or "2"; one that never learns has none.
    """
    if family not in FAMILIES:
        return ()
    if component == "unet":
        return _stacked(tuple(_of_denoiser(shapes, family)), "unet", family)
    names, place = FAMILIES[family].text_encoders, int(component) - 1
    if place >= len(names) or any(name.endswith(_T5) for name in shapes):
        return ()
    weights = tuple(_of_clip(shapes, projects=(family, names[place]) in WITH_PROJECTION))
    return _stacked(weights, names[place], family)


def _stacked(weights: Sequence[Weight], component: str, family: str) -> tuple[LayerFacts, ...]:
    """Put the weights together that are one module in files of adapters, as q, k and v of Flux."""
    in_files = _path_in_files(component, family)
    everything = {path for paths, _, _ in weights for path in paths}
    around = classes_around(everything, component=component, family=family)
    found: dict[str, LayerFacts] = {}
    for paths, shape, has_bias in weights:
        path, own = in_files(paths[0]), own_class(paths[0], shape, component=component)
        classes = frozenset({own}).union(*map(around, paths))
        layer = LayerFacts(component, path, shape, classes, has_bias)
        found[path] = _below(found[path], layer) if path in found else layer
    return tuple(found.values())


def _below(upper: LayerFacts, lower: LayerFacts) -> LayerFacts:
    """Return the layer that has the rows of both."""
    return replace(
        upper,
        shape=(upper.shape[0] + lower.shape[0], *lower.shape[1:]),
        blocks=upper.blocks | lower.blocks,
        has_bias=upper.has_bias and lower.has_bias,
    )


def _path_in_files(component: str, family: str) -> Callable[[str], str]:
    if component != "unet":
        return str
    if family in _NATIVE:
        return native_path(*_NATIVE[family])
    return sgm_path if family == "SDXL" else str


def _of_denoiser(shapes: Shapes, family: str) -> Iterator[Weight]:
    for path, shape, has_bias in _weights(shapes):
        if family in _NATIVE:
            yield members_of(*_NATIVE[family], path) or (path,), shape, has_bias
        else:
            yield (from_ldm(path) or path,), shape, has_bias


def _of_clip(shapes: Shapes, *, projects: bool) -> Iterator[Weight]:
    """Yield the layers of CLIP; a projection in a file counts only where the family ``projects``."""
    for path, shape, has_bias in _weights(shapes):
        in_clip = _path_of_clip(path)
        if projects or in_clip != PROJECTION:
            yield (in_clip,), shape, has_bias
    for name, shape in shapes.items():
        inside = _BEGINNINGS.sub("", name, count=1)
        if match := _STACKED_IN_OPEN_CLIP.match(inside):
            for part in ("q", "k", "v"):
                path = clip_path(f"encoder.layers.{match[1]}.self_attn.{part}_proj")
                yield (path,), (shape[0] // 3, *shape[1:]), True
        elif projects and inside == PROJECTION:  # OpenCLIP has it as a matrix (inputs, outputs)
            yield (PROJECTION,), shape[::-1], False


def _path_of_clip(path: str) -> str:
    for pattern, ours in _OPEN_CLIP:
        path = pattern.sub(ours, path)
    return clip_path(path)


def _weights(shapes: Shapes) -> Iterator[tuple[str, tuple[int, ...], bool]]:
    """Yield path, shape and whether there is a bias of linear layers, convolutions and norms."""
    for name, shape in shapes.items():
        path, dot, kind = _BEGINNINGS.sub("", name, count=1).rpartition(".")
        if dot and kind == "weight" and _is_layer(path, shape):
            yield path, shape, name.removesuffix("weight") + "bias" in shapes


def _is_layer(path: str, shape: tuple[int, ...]) -> bool:
    if len(shape) == 1:
        return not _NORM_OF_ANOTHER_KIND.search(path)
    return len(shape) in (2, 4) and not _EMBEDDING.search(path)
