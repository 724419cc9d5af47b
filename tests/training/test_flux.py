"""Runs of Flux: what learns, what guidance it is told, swapped blocks, and what other programs expect."""

import pytest
from runs import assert_same_weights, run
from safetensors import safe_open

from lora_widgets.events import SampleReady, StepDone
from lora_widgets.families import block_swap
from lora_widgets.families.flux import Flux

QUICK = {"t5xxl_max_token_length": 16, "train_batch_size": 2, "unet_lr": 1e-3}
SAMPLES = {
    "sample_every_n_steps": 4,
    "sample_prompts": "a thing --s 2 --w 100 --h 64 --g 2.5 --n blue --l 2",
}


def test_clip_learns_at_its_rate_and_the_file_says_how_it_was_trained(config_of, tmp_path):
    config = config_of(
        "Flux",
        **QUICK,
        text_encoder_lr=5e-4,
        max_train_steps=2,
        timestep_sampling="sigma",
        weighting_scheme="logit_normal",
        guidance_scale=3.5,
    )
    events = run(config)
    rates = [event.learning_rates for event in events if isinstance(event, StepDone)]
    assert rates[0] == {"unet": 1e-3, "text_encoder": 5e-4}
    with safe_open(tmp_path / "out" / "tiny.safetensors", "pt") as file:
        metadata, names = file.metadata(), set(file.keys())
        te = file.get_tensor("lora_te1_text_model_encoder_layers_1_mlp_fc2.lora_up.weight")
    assert te.abs().max() > 0
    assert "lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight" in names
    assert "lora_unet_single_blocks_2_linear1.lora_up.weight" in names
    assert not any(name.startswith("lora_te3") for name in names)
    said = {
        "ss_base_model_version": "flux1",
        "modelspec.architecture": "flux-1-dev/lora",
        "ss_timestep_sampling": "sigma",
        "ss_weighting_scheme": "logit_normal",
        "ss_discrete_flow_shift": "3.1582",
        "ss_model_prediction_type": "raw",
        "ss_guidance_scale": "3.5",
        "ss_apply_t5_attn_mask": "False",
        "ss_v_parameterization": "False",
    }
    assert {name: metadata.get(name) for name in said} == said
    assert "ss_training_shift" not in metadata  # that of SD3
    assert "modelspec.prediction_type" not in metadata


def test_training_is_told_the_setting_and_previews_the_prompts_guidance(config_of, monkeypatch):
    told, predict = [], Flux.predict

    def noted(self, noisy, times, text, sizes):
        told.append((tuple(noisy.shape), None if text.guidance is None else text.guidance.tolist()))
        return predict(self, noisy, times, text, sizes)

    monkeypatch.setattr(Flux, "predict", noted)
    run(config_of("Flux", **QUICK, **{**SAMPLES, "sample_every_n_steps": 1}, max_train_steps=1))
    assert told[0] == ((2, 16, 8, 12), [2.5, 2.5])  # the width of 100 px fitted to patches
    assert told[2] == ((2, 16, 8, 8), None)


class CopyingMover:
    """Takes main memory for the memory of a GPU."""

    def keep(self, weight):
        return weight.detach().clone()

    def fetch(self, weights):
        return [weight.clone() for weight in weights]

    def arrived(self, copies):
        pass


@pytest.mark.slow
def test_a_run_with_swapped_blocks_is_the_run_without(config_of, tmp_path, monkeypatch):
    monkeypatch.setattr(block_swap, "has_another_memory", lambda device: True)
    monkeypatch.setattr(block_swap, "mover_for", lambda device: CopyingMover())
    demanding = {**QUICK, **SAMPLES, "network_dropout": 0.3, "gradient_checkpointing": True}
    plain = config_of("Flux", **demanding, output_dir=str(tmp_path / "plain"))
    swapped = config_of("Flux", **demanding, output_dir=str(tmp_path / "swapped"), blocks_to_swap=2)
    run(plain)
    assert any(isinstance(event, SampleReady) for event in run(swapped))
    assert_same_weights(swapped, plain)
