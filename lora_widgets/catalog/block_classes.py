"""In which modules of a model a layer is, by its path in diffusers' or transformers' classes.

Presets name the classes of modules; with these tables their layers are found without the model. Tests hold
them against models that are made.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from lora_widgets.catalog.text_paths import PROJECTION

_RENAMED = {
    # transformers 4
    "CLIPTextTransformer": "CLIPTextModel",
    "CLIPSdpaAttention": "CLIPAttention",
    "CLIPFlashAttention2": "CLIPAttention",
    # Black Forest Labs' own code, which LyCORIS' presets name too
    "DoubleStreamBlock": "FluxTransformerBlock",
    "SingleStreamBlock": "FluxSingleTransformerBlock",
}


@dataclass(frozen=True)
class ModuleClass:
    """A class, and the paths of its modules: what ``place`` matches, up to the dot before what they hold.

    Where several classes have one place, they differ in that a module ``has`` or ``lacks`` something.
    """

    name: str
    place: str
    has: str = ""
    lacks: str = ""


_LIST = ModuleClass("ModuleList", r"\w\.(?=\d+(\.|$))")
_UNET = (
    _LIST,
    ModuleClass("UNet2DConditionModel", "^"),
    ModuleClass("DownBlock2D", r"^down_blocks\.\d+\.", lacks="attentions."),
    ModuleClass("CrossAttnDownBlock2D", r"^down_blocks\.\d+\.", has="attentions."),
    ModuleClass("UNetMidBlock2DCrossAttn", r"^mid_block\."),
    ModuleClass("UpBlock2D", r"^up_blocks\.\d+\.", lacks="attentions."),
    ModuleClass("CrossAttnUpBlock2D", r"^up_blocks\.\d+\.", has="attentions."),
    ModuleClass("Transformer2DModel", r"\battentions\.\d+\."),
    ModuleClass("BasicTransformerBlock", r"\btransformer_blocks\.\d+\."),
    ModuleClass("Attention", r"\btransformer_blocks\.\d+\.attn\d\."),
    ModuleClass("FeedForward", r"\btransformer_blocks\.\d+\.ff\."),
    ModuleClass("GEGLU", r"\bff\.net\.0\."),
    ModuleClass("ResnetBlock2D", r"\bresnets\.\d+\."),
    ModuleClass("Downsample2D", r"\bdownsamplers\.\d+\."),
    ModuleClass("Upsample2D", r"\bupsamplers\.\d+\."),
    ModuleClass("TimestepEmbedding", r"^(time|add)_embedding\."),
)
_EMBEDDERS = (
    ModuleClass("TimestepEmbedding", r"^time_text_embed\.(timestep|guidance)_embedder\."),
    ModuleClass("PixArtAlphaTextProjection", r"^time_text_embed\.text_embedder\."),
    ModuleClass("AdaLayerNormContinuous", r"^norm_out\."),
    ModuleClass("FeedForward", r"^transformer_blocks\.\d+\.ff(_context)?\."),
    ModuleClass("GELU", r"^transformer_blocks\.\d+\.ff(_context)?\.net\.0\."),
)
_TOLD_GUIDANCE = "guidance_embedder."
_FLUX = (
    _LIST,
    *_EMBEDDERS,
    ModuleClass("FluxTransformer2DModel", "^"),
    ModuleClass("CombinedTimestepTextProjEmbeddings", r"^time_text_embed\.", lacks=_TOLD_GUIDANCE),
    ModuleClass("CombinedTimestepGuidanceTextProjEmbeddings", r"^time_text_embed\.", has=_TOLD_GUIDANCE),
    ModuleClass("FluxTransformerBlock", r"^transformer_blocks\.\d+\."),
    ModuleClass("FluxSingleTransformerBlock", r"^single_transformer_blocks\.\d+\."),
    ModuleClass("FluxAttention", r"^(single_)?transformer_blocks\.\d+\.attn\."),
    ModuleClass("AdaLayerNormZero", r"^transformer_blocks\.\d+\.norm1(_context)?\."),
    ModuleClass("AdaLayerNormZeroSingle", r"^single_transformer_blocks\.\d+\.norm\."),
)
# The last block forgets its text: what follows for that is not there.
_GOES_ON = "ff_context."
_SD3 = (
    _LIST,
    *_EMBEDDERS,
    ModuleClass("SD3Transformer2DModel", "^"),
    ModuleClass("PatchEmbed", r"^pos_embed\."),
    ModuleClass("CombinedTimestepTextProjEmbeddings", r"^time_text_embed\."),
    ModuleClass("JointTransformerBlock", r"^transformer_blocks\.\d+\."),
    ModuleClass("Attention", r"^transformer_blocks\.\d+\.attn2?\."),
    ModuleClass("AdaLayerNormZero", r"^transformer_blocks\.\d+\.(?=norm1\.)", lacks="attn2."),
    ModuleClass("SD35AdaLayerNormZeroX", r"^transformer_blocks\.\d+\.(?=norm1\.)", has="attn2."),
    ModuleClass("AdaLayerNormZero", r"^transformer_blocks\.\d+\.(?=norm1_context\.)", has=_GOES_ON),
    ModuleClass("AdaLayerNormContinuous", r"^transformer_blocks\.\d+\.(?=norm1_context\.)", lacks=_GOES_ON),
)
_CLIP = (
    _LIST,
    ModuleClass("CLIPTextModel", r"^text_model\."),
    ModuleClass("CLIPTextModelWithProjection", "^", has=PROJECTION),
    ModuleClass("CLIPEncoder", r"^text_model\.encoder\."),
    ModuleClass("CLIPEncoderLayer", r"\bencoder\.layers\.\d+\."),
    ModuleClass("CLIPAttention", r"\bencoder\.layers\.\d+\.self_attn\."),
    ModuleClass("CLIPMLP", r"\bencoder\.layers\.\d+\.mlp\."),
)
_OF_DENOISERS = {"SD1.5": _UNET, "SDXL": _UNET, "Flux": _FLUX, "SD3": _SD3}


def present_class(name: str) -> str:
    """Return what a class of modules is called in the versions of its library that the tables are for."""
    return _RENAMED.get(name, name)


def classes_around(paths: Collection[str], *, component: str, family: str) -> Callable[[str], frozenset[str]]:
    """Return what tells the classes of the modules that a layer is in, by its path.

    ``paths`` are those of all layers of the component, "unet" or a text encoder (CLIP).
    """
    table = _OF_DENOISERS[family] if component == "unet" else _CLIP
    inside = {path[: dot + 1] for path in paths for dot in _dots(path)} | set(paths)

    def of(path: str) -> frozenset[str]:
        found = ((row, re.search(row.place, path)) for row in table)
        return frozenset(row.name for row, m in found if m and _is_it(row, path[: m.end()], inside))

    return of


def own_class(path: str, shape: tuple[int, ...], *, component: str) -> str:
    """Return the class of a layer itself, by its path and the shape of its weight."""
    if len(shape) > 1:
        return "Linear" if len(shape) == 2 else "Conv2d"
    is_in_text = component != "unet" or "transformer_blocks." in path
    return "LayerNorm" if is_in_text else "GroupNorm"


def _is_it(row: ModuleClass, place: str, inside: Collection[str]) -> bool:
    if row.has:
        return place + row.has in inside
    return not row.lacks or place + row.lacks not in inside


def _dots(path: str) -> list[int]:
    return [at for at, sign in enumerate(path) if sign == "."]
