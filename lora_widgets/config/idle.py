"""Settings that do nothing because of what other settings say, and why.

Findings tell it of those that were changed, and the form greys all of them out. Conditions that are declared
beside a setting (``OnlyWhen``, ``NotYet``) are not repeated here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lora_widgets.catalog.lr_schedules import LR_SCHEDULES
from lora_widgets.config.captions import tags_move
from lora_widgets.config.flow_use import sampling_reads, scheme_can_act, scheme_reads
from lora_widgets.config.rates import common_text_rate_is_unused
from lora_widgets.config.training_config import TrainingConfig


@dataclass(frozen=True)
class Idle:
    """Settings without effect while ``when`` holds; ``{name}`` in the reason stands for a setting.

    ``rule`` is the rule that tells more of it than the reason, "" where there is no more to tell.
    """

    settings: tuple[str, ...]
    when: Callable[[TrainingConfig], bool]
    reason: str
    rule: str = ""


IDLE = (
    Idle(
        ("lr_warmup_ratio", "lr_warmup_steps"),
        lambda config: not LR_SCHEDULES[config.lr_scheduler].warms_up,
        "this schedule has no warm-up",
        rule="schedule_without_warmup",
    ),
    Idle(
        ("lr_warmup_ratio", "lr_warmup_steps"),
        lambda config: config.steps_itself,
        "the optimizer decides its steps itself",
        rule="decides_its_steps_itself",
    ),
    Idle(
        ("lr_warmup_ratio",),
        lambda config: config.lr_warmup_steps > 0,
        "{lr_warmup_steps} in steps wins",
        rule="two_warmups",
    ),
    Idle(
        ("max_train_epochs",),
        lambda config: config.max_train_steps > 0,
        "{max_train_steps} decides",
        rule="steps_win",
    ),
    Idle(("text_encoder_lr",), common_text_rate_is_unused, "each text encoder has a rate of its own"),
    Idle(
        ("weight_decay",),
        lambda config: "weight_decay" in config.optimizer_arguments,
        "{optimizer_args} set it",
        rule="two_weight_decays",
    ),
    Idle(
        ("min_bucket_reso", "max_bucket_reso"),
        lambda config: config.bucket_no_upscale,
        "not used with {bucket_no_upscale}",
        rule="limits_unused",
    ),
    Idle(
        ("bucket_reso_steps",),
        lambda config: config.sdxl_bucket_optimization,
        "{sdxl_bucket_optimization} sets the step",
        rule="step_unused",
    ),
    Idle(
        ("train_data_dir", "reg_data_dir"),
        lambda config: bool(config.dataset_config),
        "{dataset_config} names the folders",
        rule="folders_beside_a_file",
    ),
    Idle(
        ("prior_loss_weight",),
        lambda config: not (config.reg_data_dir or config.dataset_config),
        "there are no regularisation pictures",
    ),
    Idle(
        ("latent_cache_crops",),
        lambda config: not ((config.random_crop or config.dataset_config) and config.latents_are_cached),
        "acts only with {random_crop} and cached latents",
        rule="crops_of_nothing",
    ),
    Idle(
        ("text_cache_variants",),
        lambda config: not config.text_is_cached,
        "acts only with {cache_text_encoder_outputs}",
        rule="variants_of_nothing",
    ),
    Idle(
        ("text_encoder_batch_size",),
        lambda config: not config.text_is_cached,
        "without {cache_text_encoder_outputs}, captions are encoded with their training batch",
    ),
    Idle(
        ("keep_tokens",),
        lambda config: not tags_move(config),
        "tags are neither shuffled nor dropped",
    ),
    Idle(
        ("adaptive_noise_scale",),
        lambda config: config.noise_offset == 0,
        "acts only with {noise_offset}",
        rule="adaptive_without_offset",
    ),
    Idle(
        ("noise_offset_random_strength",),
        lambda config: config.noise_offset == 0,
        "acts only with {noise_offset}",
        rule="random_strength_of_nothing",
    ),
    Idle(
        ("discrete_flow_shift",),
        lambda config: not sampling_reads(config, "discrete_flow_shift"),
        "acts only while {timestep_sampling} is shift or sigma",
        rule="shift_unused",
    ),
    Idle(
        ("sigmoid_scale",),
        lambda config: not sampling_reads(config, "sigmoid_scale"),
        "acts only while {timestep_sampling} is sigmoid, shift or flux_shift",
        rule="sigmoid_scale_unused",
    ),
    Idle(
        ("weighting_scheme",),
        lambda config: not scheme_can_act(config),
        "acts only while {timestep_sampling} is sigma, or {model_prediction_type} sigma_scaled",
        rule="scheme_unused",
    ),
    Idle(
        ("logit_mean", "logit_std", "mode_scale"),
        lambda config: not sampling_reads(config, "weighting_scheme"),
        "acts only while {timestep_sampling} is sigma",
        rule="numbers_of_another_scheme",
    ),
    Idle(
        ("logit_mean", "logit_std"),
        lambda config: not scheme_reads(config, "logit_mean"),
        "acts only while {weighting_scheme} is logit_normal",
        rule="numbers_of_another_scheme",
    ),
    Idle(
        ("mode_scale",),
        lambda config: not scheme_reads(config, "mode_scale"),
        "acts only while {weighting_scheme} is mode",
        rule="numbers_of_another_scheme",
    ),
    Idle(
        ("sample_at_first", "sample_sampler"),
        lambda config: not config.sample_every.is_on,
        "no samples are drawn",
    ),
    Idle(
        ("no_half_vae",),
        lambda config: config.mixed_precision == "no",
        "everything runs in full precision already",
        rule="full_vae_in_full_precision",
    ),
    Idle(
        ("save_last_n_epochs",),
        lambda config: config.save_every_n_epochs == 0,
        "nothing is saved by epoch",
        rule="nothing_to_thin_out",
    ),
    Idle(
        ("save_last_n_epochs_state",),
        lambda config: not config.save_state,
        "acts only with {save_state}",
        rule="only_one_state",
    ),
)


def idle_settings(config: TrainingConfig) -> Iterator[tuple[str, Idle]]:
    """Yield the settings that do nothing with the others as they are, each with the row that says why."""
    for idle in IDLE:
        if idle.when(config):
            yield from ((name, idle) for name in idle.settings)
