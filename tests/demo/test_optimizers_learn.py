"""Optimizers of every kind teach the demo its subject within its usual number of steps."""

import os

import pytest

from lora_widgets.adapters.attach import attach
from lora_widgets.adapters.keys import read_lora_file
from lora_widgets.catalog.optimizers import OPTIMIZERS
from lora_widgets.demo.config import demo_config
from lora_widgets.demo.evaluate import open_demo, score_subject
from lora_widgets.events import Saved
from lora_widgets.training.randomness import generator_for
from lora_widgets.training.start import iter_training

ONE = {"unet_lr": 1.0, "text_encoder_lr": 1.0}
LEARN = {
    "Prodigy": ONE,
    "ProdigyPlusScheduleFree": ONE | {"max_grad_norm": 0.0},
    "DAdaptation": {"unet_lr": 0.1, "text_encoder_lr": 0.1},  # as DAdaptAdam
    "DAdaptAdam": {"unet_lr": 0.1, "text_encoder_lr": 0.1},  # at 1.0 it overshoots
    "DAdaptLion": ONE,
    "DAdaptAdan": {"unet_lr": 0.3, "text_encoder_lr": 0.3},
    "CAME": {"unet_lr": 2e-4, "text_encoder_lr": 4e-4},
    "RAdamScheduleFree": {"unet_lr": 2e-3, "text_encoder_lr": 4e-3},
    "Adafactor": {"optimizer_args": "eps=1e-30,0.05"},
    "Adafactor at given rates": {"optimizer_args": "relative_step=False scale_parameter=False"},
    "AdamWScheduleFree": {},
    "AdamW8bit": {},
    "Lion": {"unet_lr": 3e-4, "text_encoder_lr": 6e-4},
    "SGDNesterov8bit": ONE,
    "Muon": {"unet_lr": 2e-3, "text_encoder_lr": 2e-3},
}
ONE_OF_EACH_KIND = ("Prodigy", "Adafactor", "AdamWScheduleFree")
"""Rates that are found, steps relative to the weights, and averages; the demo itself learns with AdamW.

Each case takes half a minute, so the others are tried with LORA_WIDGETS_ALL_OPTIMIZERS=1.
"""
CASES = LEARN if os.environ.get("LORA_WIDGETS_ALL_OPTIMIZERS") else ONE_OF_EACH_KIND


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_demo_is_learned(name, tmp_path):
    optimizer = name.partition(" ")[0]
    pytest.importorskip(OPTIMIZERS[optimizer].import_path.partition(".")[0])
    config = demo_config(
        output_dir=str(tmp_path / "out"), sample_every_n_steps=0, optimizer_type=optimizer, **LEARN[name]
    )
    saved = [e.path for e in iter_training(config) if isinstance(e, Saved) and e.kind == "weights"]
    family = open_demo(config)
    adapter = attach(family, config, generator=generator_for(0, "adapter"))
    adapter.load_tensors(read_lora_file(saved[-1])[0], source=saved[-1])
    adapter.mode(training=False)
    assert score_subject(family, count=32) >= 0.8
