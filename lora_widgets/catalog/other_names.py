"""What kohya-ss/sd-scripts calls its settings where we call them otherwise, or do without; and what to do."""

from collections.abc import Mapping

_LOSS = "Leave it out: the loss is always the mean square error (l2)."
_ATTENTION = "Leave it out: attention always runs through torch's fused kernels."
_LOADING = (
    "Leave it out: parts of the model are loaded one by one, as they are needed. `base_weights`, "
    "`blocks_to_swap` and `gradient_checkpointing` save memory."
)
_READING = "Leave it out: a thread reads ahead, `prefetch_batches` says how far."
_RESUMING = "Leave it out: `resume` goes on exactly where the run was interrupted."
_VALIDATION = "Leave it out: no pictures are kept back for a validation."

INSTEAD: Mapping[str, str] = {
    **dict.fromkeys(("loss_type", "huber_schedule", "huber_c", "huber_scale"), _LOSS),
    **dict.fromkeys(("xformers", "sdpa", "mem_eff_attn"), _ATTENTION),
    **dict.fromkeys(("lowram", "highvram"), _LOADING),
    **dict.fromkeys(("max_data_loader_n_workers", "persistent_data_loader_workers"), _READING),
    **dict.fromkeys(("initial_epoch", "initial_step", "skip_until_initial_step"), _RESUMING),
    **dict.fromkeys(
        (
            "validation_split",
            "validation_seed",
            "validate_every_n_steps",
            "validate_every_n_epochs",
            "max_validation_steps",
        ),
        _VALIDATION,
    ),
    "ae": "Set `vae_path` to the file.",
    "vae": "Set `vae_path` to the file.",
    "clip_l": "Set `clip_l_path` to the file.",
    "clip_g": "Set `clip_g_path` to the file.",
    "t5xxl": "Set `t5xxl_path` to the file.",
    "network_weights": "Set `continue_from_lora` to the file.",
    "network_module": "Set `lora_type`, for example to LoRA or LoCon.",
    "network_args": "Give each of them as a setting of its own, such as `conv_dim`.",
    "network_train_unet_only": "Set `text_encoder_lr` to 0.",
    "network_train_text_encoder_only": "Set `unet_lr` to 0.",
    "train_t5xxl": "Leave it out: T5 never learns; CLIP does where `text_encoder_lr` is above 0.",
    "masked_loss": "Leave it out: masks act where `mask_data_dir` or `alpha_mask` gives some.",
    "fp8_base_unet": "Set `base_weights` to fp8.",
    "dynamo_backend": "Leave it out: `torch_compile` always compiles by inductor.",
    "fused_backward_pass": "Leave it out: it is for the training of whole models.",
    "enable_scaled_pos_embed": "Leave it out: no program that draws pictures scales the positions so.",
    "skip_cache_check": "Leave it out: caches are always checked, which takes next to no time.",
    "save_state_on_train_end": "Leave it out: a state is always saved at the end.",
    "lr_scheduler_num_cycles": "Set `lr_scheduler_number`.",
    "lr_scheduler_power": "Set `lr_power`.",
    "use_8bit_adam": "Set `optimizer_type` to AdamW8bit.",
    "use_lion_optimizer": "Set `optimizer_type` to Lion.",
    "wandb_api_key": "Set `wandb_key`.",
    "v2": "Leave it out: Stable Diffusion 2 is not among the families of `model_type`.",
}
"""A sentence for each name, which says what to set in its place or why to leave it out."""
