"""The tiny models, loaded once for reading, and the settings that open them."""

from types import SimpleNamespace

import pytest
import torch

from lora_widgets.config.noise import FlowMatching
from lora_widgets.families.family import open_family

FAMILIES = {"sdxl": "SDXL", "flux": "Flux", "sd": "SD1.5"}
"""By the words in the names of the folders."""


def settings_for(folder, **changes):
    """Return the settings a family reads."""
    values = {
        "model_type": next(name for word, name in FAMILIES.items() if word in folder.name),
        "pretrained_model_name_or_path": str(folder),
        "vae_path": None,
        "no_half_vae": True,
        "zero_terminal_snr": False,
        "v_parameterization": False,
        "v_pred_like_loss": 0.0,
        "max_token_length": 75,
        **FlowMatching().model_dump(),
        "t5xxl_max_token_length": 64,
        "apply_t5_attn_mask": False,
    }
    return SimpleNamespace(**({"clip_layers_skipped": 1} | values | changes))


@pytest.fixture
def open_tiny(tiny_sd15):
    """Open the tiny model with changed settings."""
    return lambda **changes: open_family(settings_for(tiny_sd15, **changes))


@pytest.fixture
def open_tiny_sdxl(tiny_sdxl):
    """Open the tiny SDXL with changed settings."""
    return lambda **changes: open_family(settings_for(tiny_sdxl, **changes))


@pytest.fixture(scope="package")
def sd15(tiny_sd15):
    """Return the tiny model with every part loaded."""
    return with_all_parts(open_family(settings_for(tiny_sd15)))


@pytest.fixture(scope="package")
def sdxl(tiny_sdxl):
    """Return the tiny SDXL with every part loaded."""
    return with_all_parts(open_family(settings_for(tiny_sdxl)))


@pytest.fixture
def open_tiny_flux(tiny_flux):
    """Open the tiny Flux with changed settings."""
    return lambda **changes: open_family(settings_for(tiny_flux, **changes))


@pytest.fixture(scope="package")
def flux(tiny_flux):
    """Return the tiny Flux dev with every part loaded."""
    return with_all_parts(open_family(settings_for(tiny_flux)))


def with_all_parts(family):
    """Load everything, on the processor."""
    family.load_vae("cpu", torch.float32)
    family.load_text_encoder("cpu", torch.float32)
    family.load_denoiser("cpu", torch.float32)
    return family
