"""Telling a module's path from its name in a file, where every dot has become an underscore.

Names of modules have underscores of their own, so the words that do are listed; all others have none.
"""

import re

_WORDS = (
    # UNet and transformers of diffusers
    *("down_blocks", "up_blocks", "mid_block", "transformer_blocks", "single_transformer_blocks"),
    *("to_q", "to_k", "to_v", "to_out", "to_add_out", "add_q_proj", "add_k_proj", "add_v_proj"),
    *("proj_in", "proj_out", "proj_mlp", "ff_context", "norm1_context", "norm_out", "time_emb_proj"),
    *("conv_shortcut", "conv_in", "conv_out", "conv_norm_out", "time_embedding", "add_embedding"),
    *("linear_1", "linear_2", "time_text_embed", "timestep_embedder", "text_embedder", "guidance_embedder"),
    *("pos_embed", "context_embedder", "x_embedder", "norm_q", "norm_k", "norm_added_q", "norm_added_k"),
    # the publishers' own denoisers
    *("input_blocks", "middle_block", "output_blocks", "in_layers", "emb_layers", "out_layers"),
    *("skip_connection", "time_embed", "label_emb", "double_blocks", "single_blocks", "img_attn", "txt_attn"),
    *("img_mlp", "txt_mlp", "img_mod", "txt_mod", "img_in", "txt_in", "time_in", "vector_in", "guidance_in"),
    *("in_layer", "out_layer", "final_layer", "adaLN_modulation", "joint_blocks", "x_block", "context_block"),
    *("t_embedder", "y_embedder"),
    # text encoders
    *("text_model", "self_attn", "q_proj", "k_proj", "v_proj", "out_proj", "layer_norm1", "layer_norm2"),
    *("final_layer_norm", "text_projection", "token_embedding", "position_embedding", "wi_0", "wi_1"),
    *("layer_norm", "relative_attention_bias"),
)
_STEP = re.compile("|".join([*sorted(_WORDS, key=len, reverse=True), "[A-Za-z0-9]+"]))


def dotted(name: str) -> str:
    """Return the path that was flattened to a name: ``mid_block_proj_in`` is ``mid_block.proj_in``.

    Flattening the result gives the name again, whatever it is.
    """
    steps, at = [], 0
    while at < len(name):
        step = next((m[0] for m in [_STEP.match(name, at)] if m and _ends(name, m.end())), None)
        if step is None:  # a listed word that only begins a longer one, or a sign
            step = name[at:].partition("_")[0]
        steps.append(step)
        at += len(step) + 1
    return ".".join(steps) + ("." if name.endswith("_") else "")


def flat(path: str) -> str:
    """Return a path with underscores, as names in kohya's files have it."""
    return path.replace(".", "_")


def _ends(name: str, at: int) -> bool:
    return at == len(name) or name[at] == "_"
