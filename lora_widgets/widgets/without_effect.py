"""Settings that do nothing because of what other settings say, and why: the form greys them out.

Conditions that are declared beside a setting (``OnlyWhen``, ``NotYet``) are not repeated here. The findings
tell the same of a setting that was changed from its default; a test holds the two together.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.catalog.lr_schedules import LR_SCHEDULES
from lora_widgets.config.captions import tags_move
from lora_widgets.config.fields import fields_by_name
from lora_widgets.config.rates import common_text_rate_is_unused
from lora_widgets.config.training_config import TrainingConfig

_OF_THE_TYPE = ("network_dim", "network_alpha")


@dataclass(frozen=True)
class Idle:
    """Settings without effect while ``when`` holds; ``{name}`` in the reason is the label of a setting."""

    settings: tuple[str, ...]
    when: Callable[[TrainingConfig], bool]
    reason: str


IDLE = (
    Idle(
        ("lr_warmup_ratio", "lr_warmup_steps"),
        lambda config: not LR_SCHEDULES[config.lr_scheduler].warms_up,
        "this schedule has no warm-up",
    ),
    Idle(
        ("lr_warmup_ratio", "lr_warmup_steps"),
        lambda config: config.steps_itself,
        "the optimizer decides its steps itself",
    ),
    Idle(("lr_warmup_ratio",), lambda config: config.lr_warmup_steps > 0, "{lr_warmup_steps} in steps wins"),
    Idle(("max_train_epochs",), lambda config: config.max_train_steps > 0, "{max_train_steps} decides"),
    Idle(("text_encoder_lr",), common_text_rate_is_unused, "each text encoder has a rate of its own"),
    Idle(
        ("weight_decay",),
        lambda config: "weight_decay" in config.optimizer_arguments,
        "{optimizer_args} set it",
    ),
    Idle(
        ("min_bucket_reso", "max_bucket_reso"),
        lambda config: config.bucket_no_upscale,
        "not used with {bucket_no_upscale}",
    ),
    Idle(
        ("bucket_reso_steps",),
        lambda config: config.sdxl_bucket_optimization,
        "{sdxl_bucket_optimization} sets the step",
    ),
    Idle(
        ("train_data_dir", "reg_data_dir"),
        lambda config: bool(config.dataset_config),
        "{dataset_config} names the folders",
    ),
    Idle(
        ("prior_loss_weight",),
        lambda config: not (config.reg_data_dir or config.dataset_config),
        "acts only with {reg_data_dir}",
    ),
    Idle(
        ("latent_cache_crops",),
        lambda config: not ((config.random_crop or config.dataset_config) and config.latents_are_cached),
        "acts only with {random_crop} and cached latents",
    ),
    Idle(
        ("text_cache_variants", "text_encoder_batch_size"),
        lambda config: not config.text_is_cached,
        "acts only with {cache_text_encoder_outputs}",
    ),
    Idle(
        ("cache_dir",),
        lambda config: not (config.cache_latents_to_disk or config.cache_text_encoder_outputs_to_disk),
        "nothing is cached on disk",
    ),
    Idle(
        ("keep_tokens",),
        lambda config: not tags_move(config),
        "tags are neither shuffled nor dropped",
    ),
    Idle(("adaptive_noise_scale",), lambda config: config.noise_offset == 0, "acts only with {noise_offset}"),
    Idle(
        ("no_half_vae",),
        lambda config: config.mixed_precision == "no",
        "everything runs in full precision already",
    ),
    Idle(
        ("save_last_n_epochs",),
        lambda config: config.save_every_n_epochs == 0,
        "nothing is saved by epoch",
    ),
    Idle(("save_last_n_epochs_state",), lambda config: not config.save_state, "acts only with {save_state}"),
)


def without_effect(config: TrainingConfig) -> dict[str, str]:
    """Return the reason for each setting that does nothing with the others as they are."""
    reads = LORA_TYPES[config.lora_type].reads
    reasons = {name: f"{config.lora_type} does not use it" for name in _OF_THE_TYPE if name not in reads}
    labels = {name: spec.label for name, spec in fields_by_name(TrainingConfig).items()}
    for idle in IDLE:
        if idle.when(config):
            for name in idle.settings:
                reasons.setdefault(name, idle.reason.format_map(labels))
    return reasons
