"""Short runs of the engine on the tiny model."""

import pytest

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.families.family import open_family
from lora_widgets.training import plan

FAMILIES = {
    "SD1.5": ("SD1.5", "tiny_sd15"),
    "SDXL": ("SDXL", "tiny_sdxl"),
    "Flux": ("Flux", "tiny_flux"),
    "SD3": ("SD3", "tiny_sd3"),
    "SD3.5": ("SD3", "tiny_sd35"),
}
"""The `model_type` and the fixture of the model, by what tests call it."""


@pytest.fixture
def make_config(tiny_sd15, tiny_dataset, tmp_path):
    """Return a function that makes a quick configuration, with changes."""

    def make(**changes):
        values = {
            "project_name": "tiny",
            "model_type": "SD1.5",
            "pretrained_model_name_or_path": str(tiny_sd15),
            "train_data_dir": str(tiny_dataset),
            "output_dir": str(tmp_path / "out"),
            "resolution": 64,
            "min_bucket_reso": 64,
            "max_bucket_reso": 64,
            "train_batch_size": 4,
            "max_train_steps": 4,
            "network_dim": 4,
            "network_alpha": 4,
            "optimizer_type": "AdamW",
            "clip_skip": 1,
            "mixed_precision": "no",
            "save_precision": "float",
            "gradient_checkpointing": False,
            "cache_latents": True,
            "shuffle_caption": False,
            "lr_warmup_ratio": 0.0,
            "save_every_n_epochs": 0,
        }
        return TrainingConfig(**(values | changes))

    return make


@pytest.fixture
def config_of(make_config, request):
    """Return a function that makes a quick configuration for a family, or for "SD3.5", with changes."""

    def make(family, **changes):
        model_type, folder = FAMILIES[family]
        place = str(request.getfixturevalue(folder))
        own = {"model_type": model_type, "pretrained_model_name_or_path": place}
        return make_config(**(own | changes))

    return make


@pytest.fixture
def opened(monkeypatch):
    """Return the base models that runs open from now on, in order."""
    found = []

    def remembering(config):
        found.append(open_family(config))
        return found[-1]

    monkeypatch.setattr(plan, "open_family", remembering)
    return found
