"""In which blocks of a model a layer is, by its path in diffusers' or transformers' classes.

Presets name the classes of blocks; with this table their layers are found without the model.
"""

import re

_UNET = {
    "Transformer2DModel": r"attentions\.\d+\.",
    "BasicTransformerBlock": r"transformer_blocks\.\d+\.",
    "Attention": r"transformer_blocks\.\d+\.attn\d\.",
    "FeedForward": r"transformer_blocks\.\d+\.ff\.",
    "ResnetBlock2D": r"resnets\.\d+\.",
    "Downsample2D": r"downsamplers\.\d+\.",
    "Upsample2D": r"upsamplers\.\d+\.",
}
_FLUX = {
    "FluxTransformerBlock": r"^transformer_blocks\.\d+\.",
    "FluxSingleTransformerBlock": r"^single_transformer_blocks\.\d+\.",
    "FluxAttention": r"transformer_blocks\.\d+\.attn\.",
    "FeedForward": r"transformer_blocks\.\d+\.ff(_context)?\.",
}
_SD3 = {
    "JointTransformerBlock": r"transformer_blocks\.\d+\.",
    "Attention": r"transformer_blocks\.\d+\.attn2?\.",
    "FeedForward": r"transformer_blocks\.\d+\.ff(_context)?\.",
}
_CLIP = {
    "CLIPEncoderLayer": r"encoder\.layers\.\d+\.",
    "CLIPAttention": r"encoder\.layers\.\d+\.self_attn\.",
    "CLIPMLP": r"encoder\.layers\.\d+\.mlp\.",
}
_OF_DENOISERS = {"SD1.5": _UNET, "SDXL": _UNET, "Flux": _FLUX, "SD3": _SD3}


def block_classes(path: str, *, component: str, family: str) -> frozenset[str]:
    """Return the classes of the blocks around the layer at ``path`` of "unet" or a text encoder (CLIP)."""
    table = _OF_DENOISERS[family] if component == "unet" else _CLIP
    return frozenset(name for name, pattern in table.items() if re.search(pattern, path))
