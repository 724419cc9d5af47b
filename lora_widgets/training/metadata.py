"""What a LoRA file says about itself: kohya's ``ss_*`` and ``sshs_*``, and SAI's ``modelspec.*``.

All values are text. Programs read the trigger words, the base model and the rank from here; paths of the
user's computer and secrets never get in.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import lora_widgets
from lora_widgets.catalog.optimizers import OPTIMIZERS
from lora_widgets.config.fields import fields
from lora_widgets.config.steps import StepPlan
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.buckets import BucketPlan
from lora_widgets.data.scan import Scan

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
    full |= _dataset(facts) | _noise(facts) | _own(facts.config)
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
            "ss_network_args": "{}",
        }
    )


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
            "ss_text_encoder_lr": config.text_encoder_lr if config.trains_text_encoder else None,
            "ss_num_train_images": steps.images,
            "ss_num_reg_images": 0,
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


def _optimizer(config: TrainingConfig) -> str:
    row = OPTIMIZERS[config.optimizer_type]
    arguments = {**row.defaults, "weight_decay": config.weight_decay, **config.optimizer_arguments}
    return f"{row.import_path}({','.join(f'{k}={v}' for k, v in arguments.items())})"


def _noise(facts: RunFacts) -> dict[str, str]:
    config = facts.config
    return _text(
        {
            "ss_noise_offset": config.noise_offset or None,
            "ss_adaptive_noise_scale": config.adaptive_noise_scale or None,
            "ss_multires_noise_iterations": config.multires_iterations or None,
            "ss_multires_noise_discount": config.multires_noise_discount,
            "ss_zero_terminal_snr": config.zero_terminal_snr,
            "ss_min_snr_gamma": config.snr_gamma,
            "ss_ip_noise_gamma": config.ip_gamma,
        }
    )


def _dataset(facts: RunFacts) -> dict[str, str]:
    config, images = facts.config, facts.scan.images
    repeats = {image.folder: image.repeats for image in images}
    counts = Counter(image.folder for image in images)
    directories = {f: {"n_repeats": repeats[f], "img_count": counts[f]} for f in repeats}
    return _text(
        {
            "ss_batch_size_per_device": config.train_batch_size,
            "ss_total_batch_size": config.train_batch_size * config.gradient_accumulation_steps,
            "ss_resolution": config.resolution_size,
            "ss_flip_aug": config.flip_aug,
            "ss_random_crop": config.random_crop,
            "ss_shuffle_caption": config.shuffle_caption,
            "ss_keep_tokens": config.keep_tokens,
            "ss_caption_dropout_rate": config.caption_dropout_rate,
            "ss_caption_dropout_every_n_epochs": config.caption_dropout_every_n_epochs,
            "ss_caption_tag_dropout_rate": config.caption_tag_dropout_rate,
            "ss_enable_bucket": config.enable_bucket,
            "ss_bucket_no_upscale": config.bucket_no_upscale,
            "ss_min_bucket_reso": config.min_bucket_reso,
            "ss_max_bucket_reso": config.max_bucket_reso,
            "ss_dataset_dirs": json.dumps(directories),
            "ss_tag_frequency": json.dumps(_tag_frequency(facts.scan)),
            "ss_bucket_info": json.dumps(_bucket_info(facts)),
        }
    )


def _tag_frequency(scan: Scan) -> dict[str, dict[str, int]]:
    """Count the comma-separated tags of each folder, once a picture."""
    found: dict[str, Counter[str]] = {}
    for image in scan.images:
        tags = (tag.strip().lower() for tag in image.captions[0].split(","))
        found.setdefault(image.folder, Counter()).update(tag for tag in tags if tag)
    return {folder: dict(counter) for folder, counter in found.items()}


def _bucket_info(facts: RunFacts) -> dict[str, object]:
    placed = list(zip(facts.buckets.placements, facts.scan.images, strict=True))
    counts = Counter(dict.fromkeys(facts.buckets.buckets, 0))
    for placement, image in placed:
        counts[placement.bucket] += image.repeats
    errors = [abs(i.size[0] / i.size[1] - p.bucket.width / p.bucket.height) for p, i in placed]
    listed = {
        str(number): {"resolution": [bucket.width, bucket.height], "count": count}
        for number, (bucket, count) in enumerate(counts.items())
    }
    return {"buckets": listed, "mean_img_ar_error": sum(errors) / len(errors)}


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
        "modelspec.architecture": identity["modelspec.architecture"],
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": config.file_stem,
        "modelspec.resolution": f"{width}x{height}",
        "modelspec.date": datetime.fromtimestamp(facts.started_at, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "modelspec.prediction_type": identity["modelspec.prediction_type"],
        "modelspec.encoder_layer": str(config.clip_layers_skipped),
    }
