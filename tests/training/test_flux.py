"""Runs of Flux: caches, samples and states hold what it needs, and files what other programs expect."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tiny import make_tiny_file

from lora_widgets.events import Finished, SampleReady, StepDone
from lora_widgets.families import block_swap
from lora_widgets.families.flux import Flux
from lora_widgets.training.control import Control
from lora_widgets.training.start import iter_training

QUICK = {"t5xxl_max_token_length": 16, "train_batch_size": 2, "unet_lr": 1e-3}
SAMPLES = {
    "sample_every_n_steps": 4,
    "sample_prompts": "a thing --s 2 --w 100 --h 64 --g 2.5 --n blue --l 2",
}


def run(config, *, stop_after=None):
    control, events = Control(), []
    for event in iter_training(config, control):
        events.append(event)
        if isinstance(event, StepDone) and event.step == stop_after:
            control.stop()
    return events


def losses(events):
    return [event.loss for event in events if isinstance(event, StepDone)]


@pytest.mark.parametrize("masked", [False, True])
def test_everything_cached_gives_the_run_that_nothing_cached_gives(config_of, tmp_path, masked):
    quick = {**QUICK, "apply_t5_attn_mask": masked, "text_encoder_lr": 0.0}
    live = config_of("Flux", **quick, cache_latents=True, output_name="live")
    cached = config_of(
        "Flux",
        **quick,
        **SAMPLES,
        output_name="cached",
        cache_latents_to_disk=True,
        cache_text_encoder_outputs_to_disk=True,
        cache_dir=str(tmp_path / "cache"),
    )
    first, again = run(cached), run(cached.with_changes(output_name="again"))
    assert losses(first) == losses(again) == pytest.approx(losses(run(live)), rel=1e-5)
    assert len([event for event in first if isinstance(event, SampleReady)]) == 2


def test_a_run_that_stopped_goes_on_exactly(config_of, tmp_path):
    demanding = {**QUICK, "network_dropout": 0.3, "flip_aug": True, "gradient_checkpointing": True}
    demanding |= {"text_encoder_lr": 1e-3}
    whole = config_of("Flux", **demanding, output_dir=str(tmp_path / "whole"))
    parts = config_of("Flux", **demanding, output_dir=str(tmp_path / "parts"))
    run(whole)
    run(parts, stop_after=2)
    run(parts.with_changes(resume="latest"))
    ours, theirs = (load_file(tmp_path / folder / "tiny.safetensors") for folder in ("parts", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


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


def test_parts_in_files_of_their_own_train_like_the_folder(config_of, tiny_flux, tmp_path):
    names = {
        "pretrained_model_name_or_path": "tiny-flux-dev",
        "vae_path": "tiny-flux-ae",
        "clip_l_path": "tiny-clip_l",
        "t5xxl_path": "tiny-t5xxl",
    }
    files = {setting: str(make_tiny_file(f"{name}.safetensors", tmp_path)) for setting, name in names.items()}
    own = {**files, "model_config_path": str(tiny_flux), "tokenizer_path": str(tiny_flux)}
    found = run(config_of("Flux", **QUICK, **own))
    folder = run(config_of("Flux", **QUICK, output_dir=str(tmp_path / "folder")))
    assert isinstance(found[-1], Finished)
    assert losses(found) == pytest.approx(losses(folder), rel=1e-4)


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
    ours, theirs = (load_file(tmp_path / folder / "tiny.safetensors") for folder in ("swapped", "plain"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
