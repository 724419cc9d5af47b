"""Training on a base whose weights are kept in fewer bits."""

import pytest
import torch
from runs import losses, run

from lora_widgets.events import Finished
from lora_widgets.families.family import open_family
from lora_widgets.families.stored_linear import StoredLinear

CLOSE = {"fp8": 0.01, "int8": 0.01, "nf4": 0.05}


@pytest.mark.parametrize("how", sorted(CLOSE))
def test_losses_are_those_of_the_dense_base_within_rounding(make_config, how):
    shared = {"max_train_steps": 2, "text_encoder_lr": 0.0}
    dense = losses(run(make_config(output_name="dense", **shared)))
    small = losses(run(make_config(output_name=how, base_weights=how, gradient_checkpointing=True, **shared)))
    assert small == pytest.approx(dense, rel=CLOSE[how])
    assert small != dense


@pytest.mark.any_libraries
@pytest.mark.parametrize("lora_type", ["DoRA", "LoKR", "DyLoRA", "(IA)³", "Diag-OFT"])
def test_types_that_read_the_weight_read_the_rounded_one(make_config, lora_type):
    shared = {"max_train_steps": 1, "text_encoder_lr": 0.0, "lora_type": lora_type}
    (dense,) = losses(run(make_config(output_name="dense", **shared)))
    (small,) = losses(run(make_config(output_name="nf4", base_weights="nf4", **shared)))
    assert small == pytest.approx(dense, rel=CLOSE["nf4"])


@pytest.mark.parametrize("family", ["SD1.5", "SDXL", "Flux", "SD3"])
def test_the_large_layers_of_the_blocks_are_stored(config_of, family):
    opened = open_family(config_of(family, base_weights="int8"))
    opened.load_denoiser("cpu", torch.float32)
    denoiser = opened.roots()["unet"].module
    stored = {name for name, layer in denoiser.named_modules() if isinstance(layer, StoredLinear)}
    assert any("ff" in name for name in stored)
    assert all("blocks." in name or name.startswith("mid_block.") for name in stored)


def test_it_stops_and_goes_on(make_config):
    shared = {"base_weights": "int8", "text_encoder_lr": 0.0}
    run(make_config(max_train_steps=2, **shared))
    events = run(make_config(max_train_steps=4, resume="latest", **shared))
    assert isinstance(events[-1], Finished)
    assert events[-1].step == 4
