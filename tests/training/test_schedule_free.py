"""Optimizers that average their weights: the average is drawn and saved, and training never sees it."""

import pytest
import torch
from runs import assert_same_weights, losses, run
from safetensors.torch import load_file

pytestmark = pytest.mark.any_libraries
pytest.importorskip("schedulefree")
FREE = {"optimizer_type": "AdamWScheduleFree", "unet_lr": 1e-2, "text_encoder_lr": 1e-2}


def test_drawing_and_saving_the_average_changes_nothing(make_config):
    plain = losses(run(make_config(**FREE, output_name="plain")))
    busy = make_config(
        **FREE,
        output_name="busy",
        save_every_n_steps=1,
        sample_every_n_steps=1,
        sample_prompts="a thing --s 1 --d 1",
    )
    assert losses(run(busy)) == plain


def test_the_file_holds_the_average_and_the_state_what_training_goes_on_with(make_config, tmp_path):
    whole = make_config(**FREE, output_dir=str(tmp_path / "whole"))
    parts = make_config(**FREE, output_dir=str(tmp_path / "parts"))
    resumed = run(parts, stop_after=3) + run(parts.with_changes(resume="latest"))
    assert losses(resumed) == losses(run(whole))
    assert_same_weights(parts, whole)
    saved = load_file(tmp_path / "parts" / "tiny.safetensors")
    state = load_file(tmp_path / "parts" / "tiny-state" / "adapter.safetensors")
    ups = [name for name in state if name.endswith("lora_up.weight")]
    assert ups
    assert any(not torch.equal(saved[name], state[name]) for name in ups)
