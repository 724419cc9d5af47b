"""Optimizers that average their weights: the average is drawn and saved, and training never sees it."""

import pytest
import torch
from safetensors.torch import load_file

from lora_widgets.events import StepDone
from lora_widgets.training.control import Control
from lora_widgets.training.start import iter_training

pytest.importorskip("schedulefree")
FREE = {"optimizer_type": "AdamWScheduleFree", "unet_lr": 1e-2, "text_encoder_lr": 1e-2}


def losses_of(config, *, stop_after=None):
    control, losses = Control(), []
    for event in iter_training(config, control):
        if isinstance(event, StepDone):
            losses.append(event.loss)
            if event.step == stop_after:
                control.stop()
    return losses


def test_drawing_and_saving_the_average_changes_nothing(make_config):
    plain = losses_of(make_config(**FREE, output_name="plain"))
    busy = make_config(
        **FREE,
        output_name="busy",
        save_every_n_steps=1,
        sample_every_n_steps=1,
        sample_prompts="a thing --s 1 --d 1",
    )
    assert losses_of(busy) == plain


def test_the_file_holds_the_average_and_the_state_what_training_goes_on_with(make_config, tmp_path):
    whole = make_config(**FREE, output_dir=str(tmp_path / "whole"))
    parts = make_config(**FREE, output_dir=str(tmp_path / "parts"))
    losses = losses_of(whole)
    assert losses_of(parts, stop_after=3) + losses_of(parts.with_changes(resume="latest")) == losses
    saved = load_file(tmp_path / "parts" / "tiny.safetensors")
    expected = load_file(tmp_path / "whole" / "tiny.safetensors")
    assert all(torch.equal(saved[name], expected[name]) for name in expected)
    state = load_file(tmp_path / "parts" / "tiny-state" / "adapter.safetensors")
    assert any(not torch.equal(saved[name], state[name]) for name in expected)
