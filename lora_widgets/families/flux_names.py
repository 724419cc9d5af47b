"""What the modules of Flux's transformer are called in files: as Black Forest Labs' own code has them."""

from torch import nn

from lora_widgets.catalog.native_paths import native_path, native_row
from lora_widgets.catalog.transformer_paths import FLUX_BLOCKS, FLUX_OUTSIDE, LAST_MODULATION
from lora_widgets.families.family import Root


def flux_root(transformer: nn.Module) -> Root:
    """Return diffusers' ``FluxTransformer2DModel`` as a part to adapt; q, k, v and mlp are fused in files.

    Its last modulation stores the scale first, files the shift.
    """
    return Root(
        transformer,
        "lora_unet",
        path_in_files=native_path(FLUX_BLOCKS, FLUX_OUTSIDE),
        place_in_files=native_row(FLUX_BLOCKS),
        halves_swapped=frozenset({LAST_MODULATION}),
    )
