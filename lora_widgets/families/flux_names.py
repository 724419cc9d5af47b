"""What the modules of Flux's transformer are called in files: as Black Forest Labs' own code has them."""

from torch import nn

from lora_widgets.families.family import Root
from lora_widgets.families.native_paths import NativeBlocks, NativePlace, fused, native_path, native_row

_BLOCKS = (
    NativeBlocks(
        ours="transformer_blocks",
        native="double_blocks",
        modules={
            **fused("img_attn.qkv", "attn.to_q", "attn.to_k", "attn.to_v"),
            **fused("txt_attn.qkv", "attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
            "attn.to_out.0": NativePlace("img_attn.proj"),
            "attn.to_add_out": NativePlace("txt_attn.proj"),
            "ff.net.0.proj": NativePlace("img_mlp.0"),
            "ff.net.2": NativePlace("img_mlp.2"),
            "ff_context.net.0.proj": NativePlace("txt_mlp.0"),
            "ff_context.net.2": NativePlace("txt_mlp.2"),
            "norm1.linear": NativePlace("img_mod.lin"),
            "norm1_context.linear": NativePlace("txt_mod.lin"),
        },
    ),
    NativeBlocks(
        ours="single_transformer_blocks",
        native="single_blocks",
        modules={
            **fused("linear1", "attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
            "proj_out": NativePlace("linear2"),
            "norm.linear": NativePlace("modulation.lin"),
        },
    ),
)


def flux_root(transformer: nn.Module) -> Root:
    """Return diffusers' ``FluxTransformer2DModel`` as a part to adapt; q, k, v and mlp are fused in files."""
    return Root(
        transformer,
        "lora_unet",
        path_in_files=native_path(_BLOCKS),
        place_in_files=native_row(_BLOCKS),
    )
