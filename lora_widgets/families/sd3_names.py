"""What the modules of SD3's transformer are called in files: as Stability's own code has them."""

from torch import nn

from lora_widgets.catalog.native_paths import native_path, native_row
from lora_widgets.catalog.transformer_paths import LAST_MODULATION, SD3_BLOCKS, SD3_OUTSIDE
from lora_widgets.families.family import Root


def sd3_root(transformer: nn.Module) -> Root:
    """Return diffusers' ``SD3Transformer2DModel`` as a part to adapt; q, k and v are fused in files.

    The last block forgets its text, whose modulation has a scale and a shift only, like that after all
    blocks. diffusers stores them in this order, files the shift first.
    """
    blocks = [path for path, m in transformer.named_modules() if type(m).__name__ == "JointTransformerBlock"]
    return Root(
        transformer,
        "lora_unet",
        path_in_files=native_path(SD3_BLOCKS, SD3_OUTSIDE),
        place_in_files=native_row(SD3_BLOCKS),
        halves_swapped=frozenset(
            (*(f"{path}.norm1_context.linear" for path in blocks[-1:]), LAST_MODULATION)
        ),
    )
