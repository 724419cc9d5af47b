"""What a LoRA file says about itself: kohya's ``ss_*``, SAI's ``modelspec.*``, and our own settings.

All values are text. Programs read the trigger words, the base model and the rank from here; paths of the
user's computer and secrets never get in. The hashes ``sshs_*`` are added where the file is written.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import lora_widgets
from lora_widgets.catalog.families import FAMILIES
from lora_widgets.config.fields import fields
from lora_widgets.config.noise import FlowMatching
from lora_widgets.config.steps import StepPlan
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.buckets import BucketPlan
from lora_widgets.data.scan import Scan
from lora_widgets.training.base_hashes import file_hashes
from lora_widgets.training.dataset_metadata import describe_dataset
from lora_widgets.training.modelspec import describe_model
from lora_widgets.training.network_metadata import describe_network

CONFIG_KEY = "lora_widgets.config"
_MINIMAL = (
    "ss_v2",
    "ss_base_model_version",
    "ss_network_module",
    "ss_network_dim",
    "ss_network_alpha",
    "ss_network_args",
)
_TELLS_OF_OTHERS = (
    *("ss_dataset_dirs", "ss_reg_dataset_dirs", "ss_tag_frequency", "ss_bucket_info", "ss_datasets"),
    *("ss_sd_model_name", "ss_sd_model_hash", "ss_new_sd_model_hash"),
    *("ss_vae_name", "ss_vae_hash", "ss_new_vae_hash", "ss_training_comment"),
    *("ss_session_id", "ss_training_started_at", "ss_training_finished_at"),
)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFacts:
    """What metadata tells of a run beside its settings and its progress.

    ``weights_file`` is the single file of the base model, if it is one.
    """

    config: TrainingConfig
    scan: Scan
    buckets: BucketPlan
    steps: StepPlan
    identity: Mapping[str, str]
    session: str
    started_at: float
    weights_file: Path | None


def describe(facts: RunFacts, *, step: int, epoch: int, finished_at: float | None) -> dict[str, str]:
    """Return the metadata of weights saved after ``step`` steps.

    With ``no_metadata`` it is the minimal set, without which loaders do not know what they read; with
    ``private_metadata`` all that tells of pictures and of this computer is left out.
    """
    config, about = facts.config, facts.identity
    full = describe_network(config) | {k: v for k, v in about.items() if k.startswith("ss_")}
    spec = describe_model(config, about, started_at=facts.started_at)
    if config.no_metadata:
        return {key: full[key] for key in _MINIMAL} | spec
    full = _training(facts, step=step, epoch=epoch, finished_at=finished_at) | full
    full |= describe_dataset(config, facts.scan, facts.buckets)
    full |= _noise(facts) | _flow(config) | _own(config)
    if config.private_metadata:
        return {key: value for key, value in full.items() if key not in _TELLS_OF_OTHERS} | spec
    return full | _base_hashes(facts) | spec


def _base_hashes(facts: RunFacts) -> dict[str, str]:
    """Return the hashes of the files of the base model and of another autoencoder; folders have none."""
    vae = Path(facts.config.vae_path).expanduser() if facts.config.vae_path else None
    found: dict[str, str] = {}
    for part, path in (("sd_model", facts.weights_file), ("vae", vae)):
        try:
            if path is not None and path.is_file():
                found[f"ss_{part}_hash"], found[f"ss_new_{part}_hash"] = file_hashes(path)
        except OSError as error:  # gone since it was loaded; the weights are worth saving without it
            _LOG.warning("The hash of %s is not in the metadata: %s", path, error)
    return found


def _text(values: Mapping[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}


def _training(facts: RunFacts, *, step: int, epoch: int, finished_at: float | None) -> dict[str, str]:
    config, steps = facts.config, facts.steps
    return _text(
        {
            "ss_session_id": facts.session,
            "ss_training_started_at": facts.started_at,
            "ss_training_finished_at": finished_at,
            "ss_output_name": config.file_stem,
            "ss_learning_rate": config.unet_lr,
            "ss_unet_lr": config.unet_lr if config.trains_unet else None,
            "ss_text_encoder_lr": _text_encoder_rate(facts),
            "ss_num_batches_per_epoch": steps.batches_per_epoch,
            "ss_num_epochs": steps.epochs,
            "ss_epoch": epoch,
            "ss_steps": step,
            "ss_max_train_steps": steps.total_steps,
            "ss_gradient_checkpointing": config.gradient_checkpointing,
            "ss_gradient_accumulation_steps": config.gradient_accumulation_steps,
            "ss_lr_warmup_steps": config.warmup_steps_of(steps.total_steps),
            "ss_lr_scheduler": config.lr_scheduler,
            "ss_optimizer": _optimizer(config),
            "ss_max_grad_norm": config.max_grad_norm,
            "ss_mixed_precision": config.mixed_precision,
            "ss_seed": config.seed,
            "ss_clip_skip": config.clip_layers_skipped,
            "ss_max_token_length": config.max_token_length if config.max_token_length > 75 else None,
            "ss_cache_latents": config.latents_are_cached,
            "ss_loss_type": "l2",
            "ss_training_comment": config.training_comment or None,
        }
    )


def _text_encoder_rate(facts: RunFacts) -> float | list[float] | None:
    """Return the rate of the text encoders, a list where they differ; None where none trains."""
    if not facts.config.trains_text_encoder:
        return None
    rates = [facts.config.rate_of(name) for name in FAMILIES[facts.config.model_type].text_encoders]
    return rates[0] if len(set(rates)) == 1 else rates


def _optimizer(config: TrainingConfig) -> str:
    arguments = ",".join(f"{name}={value}" for name, value in config.optimizer_values.items())
    return f"{config.optimizer.import_path}({arguments})"


def _noise(facts: RunFacts) -> dict[str, str]:
    config = facts.config
    return _text(
        {
            "ss_v_parameterization": facts.identity.get("modelspec.prediction_type") == "v",
            "ss_min_timestep": config.min_timestep,
            "ss_max_timestep": config.max_timestep,
            "ss_noise_offset": config.noise_offset or None,
            "ss_noise_offset_random_strength": config.noise_offset_random_strength,
            "ss_adaptive_noise_scale": config.adaptive_noise_scale or None,
            "ss_multires_noise_iterations": config.multires_iterations or None,
            "ss_multires_noise_discount": config.multires_noise_discount,
            "ss_zero_terminal_snr": config.zero_terminal_snr,
            "ss_min_snr_gamma": config.snr_gamma,
            "ss_debiased_estimation": config.debiased_estimation_loss,
            "ss_scale_v_pred_loss_like_noise_pred": config.scale_v_pred_loss_like_noise_pred,
            "ss_v_pred_like_loss": config.v_pred_like_loss or None,
            "ss_ip_noise_gamma": config.ip_gamma,
            "ss_ip_noise_gamma_random_strength": config.ip_noise_gamma_random_strength,
        }
    )


def _flow(config: TrainingConfig) -> dict[str, str]:
    """Return how flow matching was trained: those of its settings that the family knows."""
    specs = (spec for spec in fields(FlowMatching) if spec.only_when)
    return _text(
        {
            f"ss_{spec.name}": getattr(config, spec.name)
            for spec in specs
            if spec.only_when and config.model_type in spec.only_when.values
        }
    )


def _own(config: TrainingConfig) -> dict[str, str]:
    """Return our configuration under one key, without paths, prompts' files or secrets."""
    private = {spec.name for spec in fields(TrainingConfig) if spec.secret or spec.path}
    private |= {"sample_prompts", "training_comment"} if config.private_metadata else set()
    shown = {name: value for name, value in config.changed().items() if name not in private}
    return {
        CONFIG_KEY: json.dumps(shown, default=str),
        "lora_widgets.version": lora_widgets.__version__,
    }
