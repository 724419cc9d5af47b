"""A fresh tiny model per test, because adapters change what its modules answer."""

from types import SimpleNamespace

import pytest
import torch

from lora_widgets.adapters.attach import attach
from lora_widgets.families.family import open_family


def settings_for(folder, **changes):
    """Return the settings a family and an adapter read."""
    values = {
        "model_type": "SDXL" if "sdxl" in folder.name else "SD1.5",
        "pretrained_model_name_or_path": str(folder),
        "vae_path": None,
        "model_config_path": None,
        "tokenizer_path": None,
        "no_half_vae": True,
        "base_weights": "dense",
        "vae_tiling": False,
        "zero_terminal_snr": False,
        "v_parameterization": False,
        "v_pred_like_loss": 0.0,
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
def model_folder(tiny_sd15):
    """Return the folder of the model that `family` opens; tests of another family override this."""
    return tiny_sd15


@pytest.fixture
def family(model_folder):
    """Return the tiny model, its trainable parts loaded."""
    opened = open_family(settings_for(model_folder))
    opened.load_text_encoder("cpu", torch.float32)
    opened.load_denoiser("cpu", torch.float32)
    return opened


@pytest.fixture
def attached(family, model_folder):
    """Attach an adapter with changed settings to `family`."""
    return lambda **changes: attach(
        family, settings_for(model_folder, **changes), generator=torch.Generator().manual_seed(1)
    )


@pytest.fixture
def answer(family):
    """Return what the model says to a fixed question: text encoder and UNet in one tensor."""

    def ask():
        generator = torch.Generator().manual_seed(3)
        noisy = torch.randn(2, 4, 16, 16, generator=generator)  # 2 x 2 in the middle: attention needs two
        text = family.encode_text(["a cat", "two dogs"], skip=1)
        sizes = torch.tensor([[128, 128, 0, 0, 128, 128], [300, 200, 0, 16, 128, 128]])
        return family.predict(noisy, torch.tensor([100, 700]), text, sizes)

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
