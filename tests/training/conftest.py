"""Short runs of the engine on the tiny model."""

import pytest

from lora_widgets.config.training_config import TrainingConfig


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
def config_of(make_config, tiny_sdxl, tiny_flux, tiny_sd3):
    """Return a function that makes a quick configuration for a family, with changes."""
    folders = {"SDXL": str(tiny_sdxl), "Flux": str(tiny_flux), "SD3": str(tiny_sd3)}

    def make(family, **changes):
        own = (
            {"model_type": family, "pretrained_model_name_or_path": folders[family]}
            if family in folders
            else {}
        )
        return make_config(**(own | changes))

    return make
