"""Optimizers of every kind teach the demo its subject within its usual number of steps."""

import pytest

from lora_widgets.adapters.attach import attach
from lora_widgets.adapters.keys import read_lora_file
from lora_widgets.catalog.optimizers import OPTIMIZERS
from lora_widgets.demo.config import demo_config
from lora_widgets.demo.evaluate import open_demo, score_subject
from lora_widgets.events import Saved
from lora_widgets.training.randomness import generator_for
from lora_widgets.training.start import iter_training

FOUND = {"unet_lr": 1.0, "text_encoder_lr": 1.0}
LEARN = {
    "Prodigy": FOUND,
    "ProdigyPlusScheduleFree": FOUND | {"max_grad_norm": 0.0},
    "AdamWScheduleFree": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARN)
def test_the_demo_is_learned(name, tmp_path):
    pytest.importorskip(OPTIMIZERS[name].import_path.partition(".")[0])
    config = demo_config(
        output_dir=str(tmp_path / "out"), sample_every_n_steps=0, optimizer_type=name, **LEARN[name]
    )
    saved = [e.path for e in iter_training(config) if isinstance(e, Saved) and e.kind == "weights"]
    family = open_demo(config)
    adapter = attach(family, config, generator=generator_for(0, "adapter"))
    adapter.load_tensors(read_lora_file(saved[-1])[0], source=saved[-1])
    adapter.mode(training=False)
    assert score_subject(family) >= 0.8
