"""What a LoRA file says about itself: kohya's ``ss_*`` and ``sshs_*``, and SAI's ``modelspec.*``.

All values are text. Programs read the trigger words, the base model and the rank from here; paths of the
user's computer and secrets never get in.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import lora_widgets
from lora_widgets.catalog.families import FAMILIES
from lora_widgets.config.fields import fields
from lora_widgets.config.noise import FlowMatching
from lora_widgets.config.steps import StepPlan
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.buckets import BucketPlan
from lora_widgets.data.scan import Scan
from lora_widgets.training.dataset_metadata import describe_dataset

CONFIG_KEY = "lora_widgets.config"
_MINIMAL = (
    "ss_v2",
    "ss_base_model_version",
    "ss_network_module",
    "ss_network_dim",
    "ss_network_alpha",
    "ss_network_args",
)
_MEBIBYTE = 0x100000


@dataclass(frozen=True)
class RunFacts:
    """What metadata tells of a run beside its settings and its progress."""

    config: TrainingConfig
    scan: Scan
    buckets: BucketPlan
    steps: StepPlan
    identity: Mapping[str, str]
    session: str
    started_at: float


def describe(facts: RunFacts, *, step: int, epoch: int, finished_at: float | None) -> dict[str, str]:
    """Return the metadata of weights saved after ``step`` steps; the minimal set with ``no_metadata``."""
    full = _network(facts) | _training(facts, step=step, epoch=epoch, finished_at=finished_at)
    full |= describe_dataset(facts.config, facts.scan, facts.buckets)
    full |= _noise(facts) | _flow(facts.config) | _own(facts.config)
    full |= {k: v for k, v in facts.identity.items() if k.startswith("ss_")}
    chosen = {key: full[key] for key in _MINIMAL} if facts.config.no_metadata else full
    return chosen | _modelspec(facts)


def with_hashes(metadata: Mapping[str, str], serialized: bytes) -> dict[str, str]:
    """Add the hashes by which other programs recognise the file.

    ``serialized`` is the file made with the ``ss_*`` metadata only: sshs_model_hash is the SHA-256 of what
    follows its header, sshs_legacy_hash that of 64 KiB at 1 MiB, 8 digits.
    """
    header = int.from_bytes(serialized[:8], "little")
    legacy = hashlib.sha256(serialized[_MEBIBYTE : _MEBIBYTE + 0x10000]).hexdigest()[:8]
    body = hashlib.sha256(serialized[8 + header :]).hexdigest()
    return {**metadata, "sshs_model_hash": body, "sshs_legacy_hash": legacy}


def _text(values: Mapping[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}


def _network(facts: RunFacts) -> dict[str, str]:
    config = facts.config
    return _text(
        {
            "ss_v2": "False",
            "ss_base_model_version": facts.identity["ss_base_model_version"],
            # The name tells readers which arithmetic the tensors follow, and ours is that of this module.
            "ss_network_module": "networks.lora",
            "ss_network_dim": config.network_dim,
            "ss_network_alpha": config.alpha,
            "ss_network_dropout": config.network_dropout or None,
            "ss_network_args": json.dumps(_loraplus(config)),
        }
    )


def _loraplus(config: TrainingConfig) -> dict[str, str]:
    """Return the LoRA+ ratios that acted, under the names of the arguments of ``networks.lora``."""
    return _text({f"loraplus_{name}_lr_ratio": ratio for name, ratio in config.loraplus_ratios.items()})


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
    shown = {name: value for name, value in config.changed().items() if name not in private}
    return {
        CONFIG_KEY: json.dumps(shown, default=str),
        "lora_widgets.version": lora_widgets.__version__,
    }


def _modelspec(facts: RunFacts) -> dict[str, str]:
    config, identity = facts.config, facts.identity
    width, height = config.resolution_size
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": config.file_stem,
        "modelspec.resolution": f"{width}x{height}",
        "modelspec.date": datetime.fromtimestamp(facts.started_at, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "modelspec.encoder_layer": str(config.clip_layers_skipped),
        **{key: value for key, value in identity.items() if key.startswith("modelspec.")},
        **_timestep_range(config),
    }


def _timestep_range(config: TrainingConfig) -> dict[str, str]:
    """Return what the format asks of weights that were not trained at all steps of noise."""
    first, end = config.min_timestep, config.max_timestep
    return {} if (first, end) == (0, 1000) else {"modelspec.timestep_range": f"{first},{end}"}
