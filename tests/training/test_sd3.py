"""Runs of SD3: both CLIPs learn, a model without T5 is told, and files say what other programs expect."""

from shutil import copytree, ignore_patterns

from runs import run
from safetensors import safe_open

from lora_widgets.events import Finished, Notice

QUICK = {"t5xxl_max_token_length": 16, "train_batch_size": 2, "unet_lr": 1e-3}


def test_both_clips_learn_at_their_rate_and_the_file_says_how_it_was_trained(config_of, tmp_path):
    config = config_of(
        "SD3", **QUICK, text_encoder_lr=5e-4, max_train_steps=2, training_shift=3.0, weighting_scheme="mode"
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
