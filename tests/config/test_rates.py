"""The rates of a run follow from the settings alone."""

import pytest

from lora_widgets.config.rates import (
    base_rates,
    rates_at,
    rates_by_setting,
    rates_over,
    schedule_in_effect,
    without_text_encoders,
)
from lora_widgets.config.training_config import TrainingConfig


def config_of(**changes):
    values = {"project_name": "x", "pretrained_model_name_or_path": "demo", "train_data_dir": "demo"}
    return TrainingConfig(**{**values, "model_type": "SD1.5", "output_dir": "out", **changes})


def test_only_what_trains_has_a_rate():
    assert base_rates(config_of(unet_lr=1e-4, text_encoder_lr=0)) == {"unet": 1e-4}


def test_text_encoders_share_a_rate_unless_they_have_one_of_their_own():
    shared = config_of(model_type="SDXL", unet_lr=1e-4, text_encoder_lr=5e-5)
    assert base_rates(shared) == {"unet": 1e-4, "text_encoder_1": 5e-5, "text_encoder_2": 5e-5}
    own = shared.with_changes(text_encoder_2_lr=1e-5)
    assert base_rates(own) == {"unet": 1e-4, "text_encoder_1": 5e-5, "text_encoder_2": 1e-5}
    assert rates_by_setting(own) == {"unet_lr": 1e-4, "text_encoder_lr": 5e-5, "text_encoder_2_lr": 1e-5}
    alone = own.with_changes(text_encoder_lr=0)
    assert alone.trained_components == ("unet", "text_encoder_2")
    assert alone.trains_text_encoder
    frozen = alone.with_changes(**without_text_encoders(alone))
    assert frozen.trained_components == ("unet",)
    assert not frozen.trains_text_encoder


def test_rates_of_single_text_encoders_do_nothing_in_a_family_with_one():
    config = config_of(model_type="SD1.5", text_encoder_lr=0, text_encoder_1_lr=1e-4)
    assert config.trained_components == ("unet",)


def test_rates_follow_the_schedule():
    config = config_of(unet_lr=4e-4, text_encoder_lr=1e-4, lr_scheduler="linear", lr_warmup_steps=2)
    rates = rates_over(config, range(10), total=10)
    assert rates["unet"][:4] == pytest.approx([0, 2e-4, 4e-4, 3.5e-4])
    assert rates["text_encoder"] == pytest.approx([rate / 4 for rate in rates["unet"]])
    assert rates_at(config, 3, total=10) == {name: series[3] for name, series in rates.items()}


@pytest.mark.parametrize(
    ("optimizer", "schedule", "in_effect"),
    [
        ("AdamW", "cosine", "cosine"),
        ("Prodigy", "cosine", "cosine"),
        ("AdamWScheduleFree", "cosine", "constant_with_warmup"),
        ("AdamWScheduleFree", "constant", "constant"),
        ("Adafactor", "cosine", "adafactor"),
    ],
)
def test_some_optimizers_replace_the_schedule(optimizer, schedule, in_effect):
    config = config_of(optimizer_type=optimizer, lr_scheduler=schedule)
    assert schedule_in_effect(config).name == in_effect


def test_adafactor_at_a_fixed_rate_follows_the_schedule():
    config = config_of(optimizer_type="Adafactor", optimizer_args="relative_step=False")
    assert schedule_in_effect(config).name == "cosine"


@pytest.mark.parametrize(
    ("settings", "ratios"),
    [
        ({}, {}),
        ({"loraplus_lr_ratio": 8}, {"unet": 8, "text_encoder": 8}),
        ({"loraplus_lr_ratio": 8, "loraplus_unet_lr_ratio": 1}, {"text_encoder": 8}),
        ({"loraplus_text_encoder_lr_ratio": 4}, {"text_encoder": 4}),
        ({"loraplus_lr_ratio": 8, "text_encoder_lr": 0}, {"unet": 8}),
    ],
)
def test_the_ratio_of_a_part_wins_over_that_of_all(settings, ratios):
    assert config_of(**settings).loraplus_ratios == ratios
