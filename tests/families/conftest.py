"""The tiny model, loaded once for reading, and the settings that open it."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from tiny import tensors_of_single_file

from lora_widgets.families.family import open_family


def settings_for(folder, **changes):
    """Return the settings a family reads."""
    values = {
        "model_type": "SD1.5",
        "pretrained_model_name_or_path": str(folder),
        "vae_path": None,
        "model_config_path": None,
        "tokenizer_path": None,
        "no_half_vae": True,
        "zero_terminal_snr": False,
        "max_token_length": 75,
    }
    return SimpleNamespace(**({"clip_layers_skipped": 1} | values | changes))


@pytest.fixture
def open_tiny(tiny_sd15):
    """Open the tiny model with changed settings."""
    return lambda **changes: open_family(settings_for(tiny_sd15, **changes))


@pytest.fixture(scope="package")
def sd15(tiny_sd15):
    """Return the tiny model with every part loaded."""
    family = open_family(settings_for(tiny_sd15))
    family.load_vae("cpu", torch.float32)
    family.load_text_encoder("cpu", torch.float32)
    family.load_denoiser("cpu", torch.float32)
    return family


@pytest.fixture(scope="package")
def single_file(tiny_sd15, tmp_path_factory):
    """Return the tiny model as a single file in LDM layout; read it, do not write to it."""
    path = tmp_path_factory.mktemp("single") / "tiny.safetensors"
    save_file(tensors_of_single_file(tiny_sd15), path)
    return path


@pytest.fixture
def open_file(tiny_sd15, single_file):
    """Open the single file with the tiny model's configuration and tokenizer, and changed settings."""
    own = {"model_config_path": str(tiny_sd15), "tokenizer_path": str(tiny_sd15 / "tokenizer")}
    return lambda **changes: open_family(settings_for(single_file, **{**own, **changes}))
