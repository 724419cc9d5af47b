"""What the modules of Flux's and SD3's transformers are called in files: as their authors have them."""

from lora_widgets.catalog.native_paths import NativeBlocks, NativePlace, fused

FLUX_BLOCKS = (
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

SD3_BLOCKS = (
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

FLUX_OUTSIDE = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}
"""Modules outside of blocks: their paths in files, and diffusers'."""

SD3_OUTSIDE = {
    "x_embedder.proj": "pos_embed.proj",
    "context_embedder": "context_embedder",
    "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}

LAST_MODULATION = "norm_out.linear"
"""diffusers' path of the layer whose halves of rows are in the other order in files."""
