"""What the modules of SD3's transformer are called in files: as Stability's own code has them."""

from torch import nn

from lora_widgets.families.family import Root
from lora_widgets.families.native_paths import NativeBlocks, NativePlace, fused, native_path, native_row

_BLOCKS = (
    NativeBlocks(
        ours="transformer_blocks",
        native="joint_blocks",
        modules={
            **fused("x_block.attn.qkv", "attn.to_q", "attn.to_k", "attn.to_v"),
            **fused("x_block.attn2.qkv", "attn2.to_q", "attn2.to_k", "attn2.to_v"),
            **fused("context_block.attn.qkv", "attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
            "attn.to_out.0": NativePlace("x_block.attn.proj"),
            "attn2.to_out.0": NativePlace("x_block.attn2.proj"),
            "attn.to_add_out": NativePlace("context_block.attn.proj"),
            "ff.net.0.proj": NativePlace("x_block.mlp.fc1"),
            "ff.net.2": NativePlace("x_block.mlp.fc2"),
            "ff_context.net.0.proj": NativePlace("context_block.mlp.fc1"),
            "ff_context.net.2": NativePlace("context_block.mlp.fc2"),
            "norm1.linear": NativePlace("x_block.adaLN_modulation.1"),
            "norm1_context.linear": NativePlace("context_block.adaLN_modulation.1"),
        },
    ),
)


def sd3_root(transformer: nn.Module) -> Root:
    """Return diffusers' ``SD3Transformer2DModel`` as a part to adapt; q, k and v are fused in files.

    The last block forgets its text, whose modulation has a scale and a shift only. diffusers stores them in
    this order, files the shift first.
    """
    blocks = [path for path, m in transformer.named_modules() if type(m).__name__ == "JointTransformerBlock"]
    return Root(
        transformer,
        "lora_unet",
        path_in_files=native_path(_BLOCKS),
        place_in_files=native_row(_BLOCKS),
        halves_swapped=frozenset(f"{path}.norm1_context.linear" for path in blocks[-1:]),
    )
