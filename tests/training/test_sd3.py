"""Runs of SD3 and SD3.5: caches, samples and states hold what they need, and files what programs expect."""

from shutil import copytree, ignore_patterns

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tiny import make_tiny_file

from lora_widgets.errors import ConfigError
from lora_widgets.events import Finished, Notice, SampleReady, StepDone
from lora_widgets.families.sd3 import SD3
from lora_widgets.training.control import Control
from lora_widgets.training.start import iter_training

QUICK = {"t5xxl_max_token_length": 16, "train_batch_size": 2, "unet_lr": 1e-3}
DROPOUTS = {"clip_l_dropout_rate": 0.5, "clip_g_dropout_rate": 0.5, "t5_dropout_rate": 0.5}
FROZEN_TEXT = {**QUICK, "text_encoder_lr": 0.0}
SAMPLES = {"sample_every_n_steps": 4, "sample_prompts": "a thing --s 2 --w 100 --h 64 --n blue --l 2"}
MODEL = "pretrained_model_name_or_path"


def run(config, *, stop_after=None):
    control, events = Control(), []
    for event in iter_training(config, control):
        events.append(event)
        if isinstance(event, StepDone) and event.step == stop_after:
            control.stop()
    return events


def losses(events):
    return [event.loss for event in events if isinstance(event, StepDone)]


def test_pictures_beyond_the_positions_are_refused_before_anything_is_loaded(config_of):
    config = config_of("SD3", **FROZEN_TEXT, resolution=4096, enable_bucket=False)
    with pytest.raises(ConfigError, match=r"4096 x 4096 pixels, but .* sides of up to \d+ only"):
        run(config)


@pytest.fixture(params=["tiny_sd3", "tiny_sd35"])
def folder(request):
    return request.getfixturevalue(request.param)


def test_everything_cached_gives_the_run_that_nothing_cached_gives(config_of, folder, tmp_path):
    own = {**FROZEN_TEXT, **DROPOUTS, MODEL: str(folder)}
    live = config_of("SD3", **own, cache_latents=True, output_name="live")
    cached = config_of(
        "SD3",
        **own,
        **SAMPLES,
        output_name="cached",
        cache_latents_to_disk=True,
        cache_text_encoder_outputs_to_disk=True,
        cache_dir=str(tmp_path / "cache"),
    )
    first, again = run(cached), run(cached.with_changes(output_name="again"))
    # Batches are encoded in other sizes; these random weights make 1e-5 of a rounding.
    assert losses(first) == losses(again) == pytest.approx(losses(run(live)), rel=1e-4)
    assert len([event for event in first if isinstance(event, SampleReady)]) == 2


def test_a_run_that_stopped_goes_on_exactly(config_of, folder, tmp_path):
    demanding = {**QUICK, MODEL: str(folder), "network_dropout": 0.3, "gradient_checkpointing": True}
    demanding |= {"text_encoder_lr": 1e-3, "weighting_scheme": "logit_normal", **DROPOUTS}
    whole = config_of("SD3", **demanding, output_dir=str(tmp_path / "whole"))
    parts = config_of("SD3", **demanding, output_dir=str(tmp_path / "parts"))
    run(whole)
    run(parts, stop_after=2)
    run(parts.with_changes(resume="latest"))
    ours, theirs = (load_file(tmp_path / folder / "tiny.safetensors") for folder in ("parts", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_both_clips_learn_at_their_rate_and_the_file_says_how_it_was_trained(config_of, tmp_path):
    config = config_of(
        "SD3",
        **QUICK,
        text_encoder_lr=5e-4,
        max_train_steps=2,
        training_shift=3.0,
        weighting_scheme="mode",
        apply_lg_attn_mask=True,
    )
    run(config)
    with safe_open(tmp_path / "out" / "tiny.safetensors", "pt") as file:
        metadata, names = file.metadata(), set(file.keys())
        for encoder in ("te1", "te2"):
            name = f"lora_{encoder}_text_model_encoder_layers_0_mlp_fc2.lora_up.weight"
            assert file.get_tensor(name).abs().max() > 0
    assert "lora_unet_joint_blocks_0_x_block_attn_qkv.lora_up.weight" in names
    assert "lora_unet_joint_blocks_1_context_block_adaLN_modulation_1.lora_up.weight" in names
    assert not any(name.startswith("lora_te3") for name in names)
    said = {
        "ss_base_model_version": "sd3-m",
        "modelspec.architecture": "stable-diffusion-3-m/lora",
        "ss_training_shift": "3.0",
        "ss_weighting_scheme": "mode",
        "ss_clip_skip": "None",
        "ss_apply_lg_attn_mask": "True",
        "ss_apply_t5_attn_mask": "False",
        "ss_v_parameterization": "False",
    }
    assert {name: metadata.get(name) for name in said} == said


def test_parts_in_files_of_their_own_train_like_the_folder(config_of, tiny_sd3, tmp_path):
    names = {
        MODEL: "tiny-sd3",
        "clip_l_path": "tiny-sd3-clip_l",
        "clip_g_path": "tiny-sd3-clip_g",
        "t5xxl_path": "tiny-t5xxl",
    }
    files = {setting: str(make_tiny_file(f"{name}.safetensors", tmp_path)) for setting, name in names.items()}
    own = {**files, "model_config_path": str(tiny_sd3), "tokenizer_path": str(tiny_sd3)}
    found = run(config_of("SD3", **FROZEN_TEXT, **own))
    folder = run(config_of("SD3", **FROZEN_TEXT, output_dir=str(tmp_path / "folder")))
    assert isinstance(found[-1], Finished)
    assert losses(found) == pytest.approx(losses(folder), rel=1e-4)


def test_a_run_without_t5_says_so(config_of, tiny_sd3, tmp_path):
    model = copytree(tiny_sd3, tmp_path / "model", ignore=ignore_patterns("*_3"))
    events = run(config_of("SD3", **FROZEN_TEXT, **{MODEL: str(model)}, max_train_steps=1))
    assert isinstance(events[-1], Finished)
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert any("comes without T5" in message for message in notices)


@pytest.fixture
def read(monkeypatch):
    """Collect what the transformer reads: for each picture whether CLIPs, T5 and pooled text speak."""
    found, predict = [], SD3.predict

    def noted(self, noisy, times, text, sizes):
        parts = (text.hidden[:, :77], text.hidden[:, 77:], text.pooled)
        found.append([tuple(bool(part[row].any()) for part in parts) for row in range(len(noisy))])
        return predict(self, noisy, times, text, sizes)

    monkeypatch.setattr(SD3, "predict", noted)
    return found


def test_encoders_are_left_out_of_training_at_their_rate_and_never_of_samples(config_of, read):
    samples = {"sample_every_n_steps": 1, "sample_prompts": "a thing --s 1 --w 64 --h 64 --l 1"}
    run(config_of("SD3", **FROZEN_TEXT, **dict.fromkeys(DROPOUTS, 1.0), **samples, max_train_steps=1))
    at_first, training, sample = read
    assert training == [(False, False, False)] * 2
    assert at_first == sample == [(True, True, True)]


def test_which_encoders_are_left_out_is_drawn_for_each_picture_of_each_step(config_of, read):
    config = config_of("SD3", **FROZEN_TEXT, t5_dropout_rate=0.5, max_train_steps=6)
    run(config)
    run(config.with_changes(output_name="again"))
    run(config.with_changes(output_name="other", seed=43))
    first, again, other = (
        [row[1] for batch in read[at : at + 6] for row in batch] for at in range(0, len(read), 6)
    )
    assert first == again != other
    assert 2 < sum(first) < len(first) - 2
    assert all(clips and pooled for batch in read for clips, _, pooled in batch)
