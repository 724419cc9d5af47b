"""A fresh tiny model per test, because adapters change what its modules answer."""

from types import SimpleNamespace

import pytest
import torch

from lora_widgets.adapters.attach import attach
from lora_widgets.families.family import open_family


def settings_for(folder, **changes):
    """Return the settings a family and an adapter read."""
    values = {
        "model_type": "SD1.5",
        "pretrained_model_name_or_path": str(folder),
        "vae_path": None,
        "model_config_path": None,
        "tokenizer_path": None,
        "no_half_vae": True,
        "zero_terminal_snr": False,
        "max_token_length": 75,
        "network_dim": 4,
        "alpha": 2.0,
        "network_dropout": 0.0,
        "seed": 42,
        "trains_unet": True,
        "trains_text_encoder": True,
    }
    return SimpleNamespace(**({"clip_layers_skipped": 1} | values | changes))


@pytest.fixture
def family(tiny_sd15):
    """Return the tiny model, its trainable parts loaded."""
    opened = open_family(settings_for(tiny_sd15))
    opened.load_text_encoder("cpu", torch.float32)
    opened.load_denoiser("cpu", torch.float32)
    return opened


@pytest.fixture
def attached(family, tiny_sd15):
    """Attach an adapter with changed settings to `family`."""
    return lambda **changes: attach(
        family, settings_for(tiny_sd15, **changes), generator=torch.Generator().manual_seed(1)
    )


@pytest.fixture
def answer(family):
    """Return what the model says to a fixed question: text encoder and UNet in one tensor."""

    def ask():
        generator = torch.Generator().manual_seed(3)
        noisy = torch.randn(2, 4, 16, 16, generator=generator)  # 2 x 2 in the middle: attention needs two
        text = family.encode_text(["a cat", "two dogs"], skip=1)
        return family.predict(noisy, torch.tensor([100, 700]), text)

    return ask


def filled(adapter, seed=5, size=0.1):
    """Give every weight a random value, so that the adapter changes something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameters in adapter.parameters_of().values():
            for parameter in parameters:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * size)
    return adapter


@pytest.fixture
def fill():
    """Return the function that gives an adapter's weights random values."""
    return filled
