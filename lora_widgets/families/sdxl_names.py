"""What the modules of SDXL's UNet are called in files: by the block names of Stability's own code."""

import re

_LAYER = re.compile(r"(down_blocks|up_blocks)\.(\d+)\.(attentions|resnets)\.(\d+)(?=\.|$)")
_MIDDLE = re.compile(r"mid_block\.(attentions|resnets)\.(\d+)(?=\.|$)")
_CHANGE_OF_SIZE = re.compile(r"(down_blocks|up_blocks)\.(\d+)\.(?:down|up)samplers\.0\.conv$")
_LAYERS = 3
"""Places that a block takes in the numbering: the layers of a block, and its change of size."""
_WITHIN = {"resnets": 0, "attentions": 1}
_IN_RESNET = {
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


def sgm_path(path: str) -> str:
    """Return a module's path as Stability's generative-models has it.

    diffusers' ``down_blocks.1.attentions.0.proj_in`` is ``input_blocks.4.1.proj_in`` there. Other programs
    expect these names in files for SDXL, while files for SD1.5 keep diffusers' names.
    """
    if path in _OUTSIDE:
        return _OUTSIDE[path]
    if match := _CHANGE_OF_SIZE.match(path):
        side, block = match[1], int(match[2])
        if side == "down_blocks":
            return f"input_blocks.{_LAYERS * (block + 1)}.0.op"
        return f"output_blocks.{_LAYERS * block + 2}.2.conv"  # after a layer and its attention
    renamed = _MIDDLE.sub(_in_middle, _LAYER.sub(_in_sgm, path, count=1), count=1)
    if ".resnets." not in path:
        return renamed
    start, _, name = renamed.rpartition(".")
    return f"{start}.{_IN_RESNET.get(name, name)}"


def _in_sgm(match: re.Match[str]) -> str:
    side, block, kind, layer = match[1], int(match[2]), match[3], int(match[4])
    if side == "down_blocks":
        first = _LAYERS * block + layer + 1  # the first place is the convolution before
        return f"input_blocks.{first}.{_WITHIN[kind]}"
    return f"output_blocks.{_LAYERS * block + layer}.{_WITHIN[kind]}"


def _in_middle(match: re.Match[str]) -> str:
    """Return the place in the middle: a layer, attention, a layer."""
    return f"middle_block.{1 if match[1] == 'attentions' else 2 * int(match[2])}"
