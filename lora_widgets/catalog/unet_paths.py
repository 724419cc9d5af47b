"""Paths in a UNet: diffusers' and those of the LDM code that Stable Diffusion 1 and SDXL were published with.

LDM numbers the layers of all blocks in one row. A block takes three places there: two layers and the change
of size on the way down, three layers with the change of size in the last on the way up.
"""

import re

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_MIDDLE = {"resnets.0": "middle_block.0", "attentions.0": "middle_block.1", "resnets.1": "middle_block.2"}
_PLACES = 3
_BLOCK = re.compile(
    r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)(?:\.(.+))?"
)
_MID_BLOCK = re.compile(r"mid_block\.((?:resnets|attentions)\.\d+)(?:\.(.+))?")
_LDM_BLOCK = re.compile(r"(input|output)_blocks\.(\d+)\.(\d+)(?:\.(.+))?")
_LDM_MIDDLE = re.compile(r"(middle_block\.\d+)(?:\.(.+))?")


def sgm_path(path: str) -> str:
    """Return the path of a module of SDXL's UNet as Stability's code has it; others as they are.

    Other programs expect these names in files for SDXL, while files for SD1.5 keep diffusers' names. Only its
    last upper block is without attention, and that changes no size.
    """
    return to_ldm(path, plain_up_blocks=frozenset()) or path


def to_ldm(path: str, *, plain_up_blocks: frozenset[int]) -> str | None:
    """Return LDM's path of a module that diffusers calls ``path``; None for one that no UNet has.

    ``plain_up_blocks`` are the upper blocks without attention: there the change of size takes its place.
    """
    if match := _MID_BLOCK.fullmatch(path):
        place = _MIDDLE.get(match[1])
        return place and _below(place, _inside(match[1], match[2]))
    if not (match := _BLOCK.fullmatch(path)):
        return _OUTSIDE.get(path)
    way, block, kind, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    if way == "down":
        number = _PLACES * block + 1 + (2 if kind == "downsamplers" else layer)
        rest = "op" if kind == "downsamplers" and rest == "conv" else rest
        return _below(f"input_blocks.{number}.{int(kind == 'attentions')}", _inside(kind, rest))
    if kind == "upsamplers":
        return _below(f"output_blocks.{_PLACES * block + 2}.{1 if block in plain_up_blocks else 2}", rest)
    number = _PLACES * block + layer
    return _below(f"output_blocks.{number}.{int(kind == 'attentions')}", _inside(kind, rest))


def from_ldm(path: str) -> str | None:
    """Return diffusers' path of a module that LDM calls ``path``; None for one that no UNet has."""
    if match := _LDM_MIDDLE.fullmatch(path):
        place = next((ours for ours, theirs in _MIDDLE.items() if theirs == match[1]), None)
        return place and _below(f"mid_block.{place}", _outside(place, match[2]))
    match = _LDM_BLOCK.fullmatch(path)
    if match is None or path == _OUTSIDE["conv_in"]:
        return next((ours for ours, theirs in _OUTSIDE.items() if path == theirs), None)
    way, number, child, rest = match[1], int(match[2]), int(match[3]), match[4]
    kind = "attentions" if child else "resnets"
    if way == "input":
        block, layer = divmod(number - 1, _PLACES)
        if layer == _PLACES - 1:
            return _below(f"down_blocks.{block}.downsamplers.0", "conv" if rest == "op" else rest)
        return _below(f"down_blocks.{block}.{kind}.{layer}", _outside(kind, rest))
    block, layer = divmod(number, _PLACES)
    if child and (rest or "").split(".")[0] == "conv":
        return _below(f"up_blocks.{block}.upsamplers.0", rest)
    return _below(f"up_blocks.{block}.{kind}.{layer}", _outside(kind, rest))


def _inside(kind: str, rest: str | None) -> str | None:
    return _RESNET.get(rest, rest) if rest and kind.startswith("resnets") else rest


def _outside(kind: str, rest: str | None) -> str | None:
    if not rest or not kind.startswith("resnets"):
        return rest
    return next((ours for ours, theirs in _RESNET.items() if theirs == rest), rest)


def _below(place: str, rest: str | None) -> str:
    return f"{place}.{rest}" if rest else place
