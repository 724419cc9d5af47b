"""Runs of every family but the first: cached, stopped, and from files they learn what they would anyway."""

import pytest
from runs import assert_same_weights, losses, run
from tiny import make_tiny_file

from lora_widgets.events import Finished, SampleReady

SHORT_TEXT = {"t5xxl_max_token_length": 16, "train_batch_size": 2, "unet_lr": 1e-3}
FROZEN_TEXT = {**SHORT_TEXT, "text_encoder_lr": 0.0}
SAMPLES = {
    "sample_every_n_steps": 4,
    "sample_prompts": "a thing --s 2 --w 100 --h 64 --g 2.5 --n blue --l 2",
}
DROPOUTS = dict.fromkeys(("clip_l_dropout_rate", "clip_g_dropout_rate", "t5_dropout_rate"), 0.5)
# How batches are put together to be encoded changes the rounding; the random weights of some make more of it.
ROUNDING = {"SDXL": 1e-5, "Flux": 1e-5, "SD3": 1e-4, "SD3.5": 1e-4}
FILES = {
    "Flux": {
        "pretrained_model_name_or_path": "tiny-flux-dev",
        "vae_path": "tiny-flux-ae",
        "clip_l_path": "tiny-clip_l",
        "t5xxl_path": "tiny-t5xxl",
    },
    "SD3": {
        "pretrained_model_name_or_path": "tiny-sd3",
        "clip_l_path": "tiny-sd3-clip_l",
        "clip_g_path": "tiny-sd3-clip_g",
        "t5xxl_path": "tiny-t5xxl",
    },
}


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("SDXL", {}),
        ("Flux", {}),
        ("Flux", {"apply_t5_attn_mask": True}),
        ("SD3", {}),
        ("SD3.5", DROPOUTS),
    ],
)
def test_everything_cached_gives_the_run_that_nothing_cached_gives(config_of, tmp_path, family, changes):
    live = config_of(family, **FROZEN_TEXT, **changes, output_name="live")
    cached = live.with_changes(
        **SAMPLES,
        output_name="cached",
        cache_latents_to_disk=True,
        cache_text_encoder_outputs_to_disk=True,
        cache_dir=str(tmp_path / "cache"),
    )
    first, again = run(cached), run(cached.with_changes(output_name="again"))
    assert losses(first) == losses(again) == pytest.approx(losses(run(live)), rel=ROUNDING[family])
    assert len([event for event in first if isinstance(event, SampleReady)]) == 2


@pytest.mark.parametrize(
    ("family", "changes"),
    [("SDXL", {}), ("Flux", {}), ("SD3", {"weighting_scheme": "logit_normal"}), ("SD3.5", DROPOUTS)],
)
def test_a_run_that_stopped_goes_on_exactly(config_of, tmp_path, family, changes):
    demanding = {**SHORT_TEXT, "network_dropout": 0.3, "flip_aug": True, "gradient_checkpointing": True}
    demanding |= {"text_encoder_lr": 1e-3, **changes}
    whole = config_of(family, **demanding, output_dir=str(tmp_path / "whole"))
    parts = config_of(family, **demanding, output_dir=str(tmp_path / "parts"))
    run(whole)
    run(parts, stop_after=2)
    run(parts.with_changes(resume="latest"))
    assert_same_weights(parts, whole)


@pytest.mark.parametrize("family", FILES)
def test_parts_in_files_of_their_own_train_like_the_folder(config_of, tmp_path, family):
    folder = config_of(family, **FROZEN_TEXT)
    place = folder.pretrained_model_name_or_path
    files = {
        setting: str(make_tiny_file(f"{name}.safetensors", tmp_path))
        for setting, name in FILES[family].items()
    }
    own = {**files, "model_config_path": place, "tokenizer_path": place}
    found = run(folder.with_changes(**own, output_name="files"))
    assert isinstance(found[-1], Finished)
    assert losses(found) == pytest.approx(losses(run(folder)), rel=1e-4)
