from pathlib import Path

import pytest
from pydantic import ValidationError

from lora_widgets.config.cadence import Every
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.errors import ConfigError

REQUIRED = {
    "project_name": "cat",
    "pretrained_model_name_or_path": "demo",
    "train_data_dir": "demo",
    "output_dir": "out",
}
# Every default that the customer's plan names.
PLAN = {
    "model_type": "SDXL",
    "resolution": 1024,
    "num_repeats": 10,
    "max_train_epochs": 10,
    "max_train_steps": 0,
    "train_batch_size": 4,
    "seed": 42,
    "unet_lr": 5e-4,
    "text_encoder_lr": 1e-4,
    "lr_scheduler": "cosine",
    "lr_scheduler_number": 3,
    "lr_warmup_ratio": 0.05,
    "lr_warmup_steps": 0,
    "lr_power": 1.0,
    "lora_type": "LoRA",
    "network_dim": 16,
    "network_alpha": 8,
    "conv_dim": 16,
    "conv_alpha": 8,
    "network_dropout": 0.0,
    "dim_from_weights": False,
    "factor": -1,
    "train_norm": False,
    "optimizer_type": "AdamW8bit",
    "gradient_accumulation_steps": 1,
    "max_grad_norm": 1.0,
    "optimizer_args": None,
    "flip_aug": False,
    "random_crop": False,
    "shuffle_caption": True,
    "keep_tokens": 0,
    "clip_skip": 2,
    "caption_dropout_rate": 0.0,
    "caption_tag_dropout_rate": 0.0,
    "caption_dropout_every_n_epochs": 0,
    "keep_tokens_separator": "",
    "secondary_separator": "",
    "enable_wildcard": False,
    "enable_bucket": True,
    "sdxl_bucket_optimization": False,
    "min_bucket_reso": 256,
    "max_bucket_reso": 2048,
    "bucket_no_upscale": False,
    "min_snr_gamma_enabled": True,
    "min_snr_gamma": 5.0,
    "ip_noise_gamma_enabled": False,
    "ip_noise_gamma": 0.05,
    "multinoise": False,
    "multires_noise_discount": 0.25,
    "noise_offset": 0.0,
    "adaptive_noise_scale": 0.0,
    "zero_terminal_snr": False,
    "gradient_checkpointing": True,
    "mixed_precision": "fp16",
    "full_fp16": False,
    "vae_batch_size": 1,
    "no_half_vae": False,
    "cache_latents": False,
    "cache_latents_to_disk": False,
    "cache_text_encoder_outputs": False,
    "save_every_n_epochs": 1,
    "save_every_n_steps": 0,
    "save_last_n_epochs": 0,
    "save_last_n_epochs_state": 0,
    "save_model_as": "safetensors",
    "save_precision": "fp16",
    "output_name": "",
    "no_metadata": False,
    "sample_every_n_epochs": 0,
    "sample_every_n_steps": 0,
    "sample_prompts": None,
    "sample_sampler": "euler_a",
    "logging_dir": None,
    "log_with": None,
    "log_prefix": None,
    "vae_path": None,
    "clip_l_path": None,
    "clip_g_path": None,
    "t5xxl_path": None,
    "continue_from_lora": None,
    "wandb_key": None,
}


def config(**changes):
    return TrainingConfig(**{**REQUIRED, **changes})


def test_the_plan_s_85_settings_have_the_plan_s_defaults():
    assert len(PLAN) + len(REQUIRED) == 85
    made = config()
    assert {name: getattr(made, name) for name in PLAN} == PLAN
    assert {name for name, info in TrainingConfig.model_fields.items() if info.is_required()} == set(REQUIRED)


def test_settings_listed_beside_the_plan_s_class_exist():
    assert {"block_dims", "block_alphas", "preset", "resume"} <= set(TrainingConfig.model_fields)


def test_other_names_are_accepted_on_input():
    made = TrainingConfig(
        project_name="cat",
        model_path="demo",
        dataset_dir="demo",
        output_dir="o",
        epochs=3,
        learning_rate=1e-3,
    )
    assert (made.max_train_epochs, made.unet_lr, made.text_encoder_lr) == (3, 1e-3, 1e-3)
    assert config(learning_rate=1e-3, text_encoder_lr=0).text_encoder_lr == 0
    assert made.with_changes(learning_rate=2e-3).unet_lr == 2e-3


def test_it_cannot_be_changed_in_place():
    with pytest.raises(ValidationError):
        config().seed = 3


def test_with_changes_validates_and_suggests_names():
    assert config().with_changes(seed=3).seed == 3
    with pytest.raises(ValidationError):
        config().with_changes(seed=-1)
    with pytest.raises(ConfigError, match="Did you mean `network_dim`"):
        config().with_changes(netwrok_dim=3)


@pytest.mark.parametrize("name", [spec for spec, value in PLAN.items() if isinstance(value, float)])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), "nan", "1e999"])
def test_rates_are_finite(name, value):
    with pytest.raises(ValidationError):
        config(**{name: value})


def test_resolution_is_a_side_or_two():
    assert config(resolution=512).resolution_size == (512, 512)
    assert config(resolution="512").resolution == 512
    assert config(resolution="512, 768").resolution_size == (512, 768)
    assert config(resolution="832x1216").resolution_size == (832, 1216)
    for bad in (0, 63, 9000, "0", "12,64", "big", "1,2,3", 64.5, None, [64, 64], True):
        with pytest.raises(ValidationError):
            config(resolution=bad)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", ".hidden", "dot.", "x" * 101, "a\n", "ü"])
def test_project_names_are_safe_file_names(name):
    with pytest.raises(ValidationError):
        config(project_name=name)


def test_paths_are_accepted_as_path_objects():
    assert config(output_dir=Path("a") / "b").output_dir == str(Path("a") / "b")


@pytest.mark.parametrize("written", [" /a b ", '"/a b"', "'/a b' ", ' "/a b"\n'])
def test_paths_are_read_without_the_blanks_and_quotes_around_them(written):
    """Windows copies a path in quotes."""
    paths = (
        "pretrained_model_name_or_path",
        "train_data_dir",
        "output_dir",
        "vae_path",
        "continue_from_lora",
    )
    made = config(**dict.fromkeys(paths, written), sample_prompts='"a" ')
    assert {getattr(made, name) for name in paths} == {"/a b"}
    assert made.sample_prompts == '"a" '
    assert config(vae_path='""').vae_path is None


def test_pairs_of_settings_become_one_answer():
    made = config()
    assert made.snr_gamma == 5.0
    assert made.with_changes(min_snr_gamma_enabled=False).snr_gamma is None
    assert made.ip_gamma is None
    assert made.with_changes(ip_noise_gamma_enabled=True).ip_gamma == 0.05
    assert (made.multires_iterations, made.with_changes(multinoise=True).multires_iterations) == (0, 6)
    assert made.save_every == Every(epochs=1, steps=0)
    assert made.sample_every == Every(epochs=0, steps=0)
    assert (made.file_stem, made.with_changes(output_name="v2").file_stem) == ("cat", "v2")
    assert (made.alpha, made.with_changes(network_alpha=0).alpha) == (8.0, 16.0)
    assert [made.with_changes(clip_skip=skip).clip_layers_skipped for skip in (None, 1, 2)] == [1, 1, 2]
    assert (made.trains_unet, made.with_changes(text_encoder_lr=0).trains_text_encoder) == (True, False)
    assert not made.latents_are_cached
    assert made.bucket_step == 64


@pytest.mark.parametrize(
    ("changes", "warmup"),
    [
        ({}, 50),
        ({"lr_warmup_steps": 7}, 7),
        ({"lr_warmup_ratio": 0}, 0),
        ({"lr_scheduler": "constant", "lr_warmup_steps": 7}, 0),
    ],
)
def test_warm_up_steps(changes, warmup):
    assert config(**changes).warmup_steps_of(1000) == warmup


def test_the_shape_of_the_schedule_is_complete():
    shape = config(lr_decay_steps=0.2, lr_scheduler_args="gamma=0.5").schedule_shape(1000, base_lr=1e-4)
    assert (shape.total, shape.warmup, shape.cycles, shape.decay_steps) == (1000, 50, 3, 200)
    assert shape.args == {"gamma": 0.5}
    assert config(lr_decay_steps=30).schedule_shape(1000, base_lr=1.0).decay_steps == 30


def test_arguments_are_accepted_as_a_mapping():
    assert config(optimizer_args={"eps": 1e-6}).optimizer_arguments == {"eps": 1e-6}
    with pytest.raises(ValidationError):
        config(optimizer_args={"eps": object()})


def test_only_what_differs_from_the_defaults_is_shown():
    made = config(seed=7, sample_prompts="<b>x</b>")
    assert made.changed() == {**REQUIRED, "seed": 7, "sample_prompts": "<b>x</b>"}
    page = made._repr_html_()
    assert "seed" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "network_dim" not in page + repr(made)


def test_the_table_keeps_the_lines_of_a_text():
    assert "a cat<br>a dog" in config(sample_prompts="a cat\na dog")._repr_html_()


def test_secrets_show_nowhere():
    made = config(wandb_key="hush-hush")
    assert made.wandb_key.get_secret_value() == "hush-hush"
    assert "hush" not in repr(made) + str(made) + made._repr_html_() + made.model_dump_json()
    with pytest.raises(ValidationError) as failure:
        TrainingConfig(wandb_key="hush-hush", seed="x")
    assert "hush" not in str(failure.value)


@pytest.mark.parametrize(("value", "kept"), [(True, "fp8"), ("true", "fp8"), (False, "dense")])
def test_the_switch_of_other_trainers_for_fp8_is_understood(value, kept):
    assert TrainingConfig.model_validate({**REQUIRED, "fp8_base": value}).base_weights == kept
    assert (
        TrainingConfig.model_validate({**REQUIRED, "fp8_base": value, "base_weights": "nf4"}).base_weights
        == "nf4"
    )
