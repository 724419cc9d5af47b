"""The numbering of a UNet's blocks in ``block_dims``, as kohya's networks.lora has it."""

import re

_SIDES = {"down_blocks": 1, "up_blocks": 13}
_PLACES = 3
"""Blocks of layers counted for one block of diffusers: two with attention and a change of size, or three."""
_MIDDLE_OF_SD = 12
_SGM = {"input_blocks": 1, "middle_block": 10, "output_blocks": 13}
NUM_BLOCKS = {"SD1.5": 25, "SDXL": 23}


def block_of(path: str) -> int | None:
    """Return the number of the block a layer is in, or None outside of blocks.

    ``path`` is the layer's path in files: diffusers' for SD1.5 (25 blocks, of which the first is none),
    Stability's for SDXL (23, of which first and last are none).
    """
    if match := re.match(r"(down_blocks|up_blocks)\.(\d+)\.(\w+)\.(\d+)", path):
        side, block, kind, layer = match[1], int(match[2]), match[3], int(match[4])
        within = _PLACES - 1 if kind in ("downsamplers", "upsamplers") else layer
        return _SIDES[side] + _PLACES * block + within
    if path.startswith("mid_block."):
        return _MIDDLE_OF_SD
    if match := re.match(r"(input_blocks|middle_block|output_blocks)\.(\d+)", path):
        return _SGM[match[1]] + int(match[2])
    return None
