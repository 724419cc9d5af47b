"""What the modules of SDXL's UNet are called in files: by the block names of Stability's own code."""

import re

_ATTENTION = re.compile(r"(down_blocks|up_blocks)\.(\d+)\.attentions\.(\d+)(?=\.|$)")
_MIDDLE = "mid_block.attentions.0"
_LAYERS = 3
"""Places that a block takes in the numbering: the layers of a block, and its change of size."""


def sgm_path(path: str) -> str:
    """Return a module's path as Stability's generative-models has it.

    diffusers' ``down_blocks.1.attentions.0.proj_in`` is ``input_blocks.4.1.proj_in`` there. Other programs
    expect these names in files for SDXL, while files for SD1.5 keep diffusers' names.
    """
    if path.startswith(_MIDDLE):
        return f"middle_block.1{path.removeprefix(_MIDDLE)}"
    return _ATTENTION.sub(_in_sgm, path, count=1)


def _in_sgm(match: re.Match[str]) -> str:
    side, block, layer = match[1], int(match[2]), int(match[3])
    if side == "down_blocks":
        return f"input_blocks.{_LAYERS * block + layer + 1}.1"  # the first place is the convolution before
    return f"output_blocks.{_LAYERS * block + layer}.1"
