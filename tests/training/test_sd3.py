"""Runs of SD3: both CLIPs learn, a model without T5 is told, and files say what other programs expect."""

from shutil import copytree, ignore_patterns

import pytest
import torch
from diffusers.models.embeddings import PatchEmbed
from runs import assert_same_weights, losses, run
from safetensors import safe_open

from lora_widgets.errors import ConfigError
from lora_widgets.events import Finished, Notice
from lora_widgets.families.sd3 import SD3

QUICK = {"t5xxl_max_token_length": 16, "train_batch_size": 2, "unet_lr": 1e-3}
FROZEN_TEXT = {**QUICK, "text_encoder_lr": 0.0}
DROPOUTS = dict.fromkeys(("clip_l_dropout_rate", "clip_g_dropout_rate", "t5_dropout_rate"), 0.5)


def test_pictures_beyond_the_positions_are_refused_before_anything_is_loaded(config_of):
    config = config_of("SD3", **FROZEN_TEXT, resolution=4096, enable_bucket=False)
    with pytest.raises(ConfigError, match=r"4096 x 4096 pixels, but .* sides of up to \d+ only"):
        run(config)


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


def test_a_run_without_t5_says_so(config_of, tiny_sd3, tmp_path):
    model = copytree(tiny_sd3, tmp_path / "model", ignore=ignore_patterns("*_3"))
    own = {"pretrained_model_name_or_path": str(model), "text_encoder_lr": 0.0}
    events = run(config_of("SD3", **QUICK, **own, max_train_steps=1))
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


@pytest.fixture
def in_the_middle(monkeypatch):
    """Collect the positions that the transformer adds: whether they are those of the middle of its table."""
    found, embed = [], PatchEmbed.forward

    def noted(self, latent):
        shape = latent.shape[-2:]
        found.append(torch.equal(self.cropped_pos_embed(*shape), type(self).cropped_pos_embed(self, *shape)))
        return embed(self, latent)

    monkeypatch.setattr(PatchEmbed, "forward", noted)
    return found


def test_positions_move_at_their_rate_in_training_never_in_samples_and_again_when_resumed(
    config_of, tmp_path, in_the_middle
):
    samples = {"sample_every_n_steps": 4, "sample_prompts": "a thing --s 1 --w 64 --h 64 --l 1"}
    demanding = {**FROZEN_TEXT, **samples, "gradient_checkpointing": True, "pos_emb_random_crop_rate": 0.5}
    whole, plain, parts = (
        config_of("SD3.5", **(demanding | changes), output_dir=str(tmp_path / name))
        for name, changes in (("whole", {}), ("plain", {"pos_emb_random_crop_rate": 0.0}), ("parts", {}))
    )
    moved = losses(run(whole))
    assert in_the_middle[0] is in_the_middle[-1] is True
    assert {*in_the_middle[1:-1]} == {True, False}
    assert moved != losses(run(plain))
    run(parts, stop_after=2)
    run(parts.with_changes(resume="latest"))
    assert_same_weights(parts, whole)
    with safe_open(tmp_path / "whole" / "tiny.safetensors", "pt") as file:
        assert file.metadata()["ss_pos_emb_random_crop_rate"] == "0.5"
