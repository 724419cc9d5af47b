"""A fresh tiny model per test, because adapters change what its modules answer."""

import pytest
import torch
from tiny import settings_for

from lora_widgets.adapters.attach import attach
from lora_widgets.families.family import open_family


@pytest.fixture
def model_folder(tiny_sd15):
    """Return the folder of the model that `family` opens; tests of another family override this."""
    return tiny_sd15


def opened(folder):
    """Return the tiny model of a folder, its trainable parts loaded."""
    family = open_family(settings_for(folder))
    family.text.load("cpu", torch.float32)
    family.load_denoiser("cpu", torch.float32)
    return family


@pytest.fixture
def open_tiny():
    """Return the function that opens the tiny model of a folder."""
    return opened


@pytest.fixture
def family(model_folder):
    """Return the tiny model, its trainable parts loaded."""
    return opened(model_folder)


@pytest.fixture
def attached(family, model_folder):
    """Attach an adapter with changed settings to `family`."""
    return lambda sizes=None, **changes: attach(
        family, settings_for(model_folder, **changes), generator=torch.Generator().manual_seed(1), sizes=sizes
    )


@pytest.fixture
def answer(ask_model):
    """Return what the model says to a fixed question; tests of something else override this."""
    return ask_model


@pytest.fixture
def ask_model(family):
    """Return what the model says to a fixed question: text encoder and UNet in one tensor."""

    def ask():
        generator = torch.Generator().manual_seed(3)
        noisy = torch.randn(
            2, family.vae.latent_channels, 16, 16, generator=generator
        )  # 2 x 2 in the middle: attention needs two
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
