"""SAI's ``modelspec.*`` keys, version 1.0.1: what a file is, for people and programs that show it."""

from collections.abc import Mapping
from datetime import UTC, datetime

import lora_widgets
from lora_widgets.config.training_config import TrainingConfig

_IMPLEMENTATIONS = {
    "SD1.5": "diffusers",
    "SDXL": "https://github.com/Stability-AI/generative-models",
    "Flux": "https://github.com/black-forest-labs/flux",
    "SD3": "diffusers",
}
"""Whose code the names in files follow, as sd-scripts says it."""


def describe_model(
    config: TrainingConfig, identity: Mapping[str, str], *, started_at: float
) -> dict[str, str]:
    """Return the keys; ``identity`` is what the family says of its base model, and wins."""
    width, height = config.resolution_size
    spec = {
        "sai_model_spec": "1.0.1",
        "implementation": _IMPLEMENTATIONS[config.model_type],
        "implementation_version": f"lora-widgets/{lora_widgets.__version__}",
        "title": config.metadata_title or config.file_stem,
        "resolution": f"{width}x{height}",
        "date": datetime.fromtimestamp(started_at, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "encoder_layer": str(config.clip_layers_skipped),
        **_about(config),
        **_timestep_range(config),
    }
    own = {key: value for key, value in identity.items() if key.startswith("modelspec.")}
    return {f"modelspec.{key}": value for key, value in spec.items()} | own


def _about(config: TrainingConfig) -> dict[str, str]:
    """Return what the user wrote about the file."""
    written = {
        "author": config.metadata_author,
        "description": config.metadata_description,
        "license": config.metadata_license,
        "tags": config.metadata_tags,
        "trigger_phrase": config.metadata_trigger_phrase,
    }
    return {key: text for key, text in written.items() if text}


def _timestep_range(config: TrainingConfig) -> dict[str, str]:
    """Return what the format asks of weights that were not trained at all steps of noise."""
    first, end = config.min_timestep, config.max_timestep
    return {} if (first, end) == (0, 1000) else {"timestep_range": f"{first},{end}"}
