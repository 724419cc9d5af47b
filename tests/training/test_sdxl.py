"""Runs of SDXL: each text encoder learns at its rate, the UNet is told sizes, and a VAE may overflow."""

import pytest
import torch
from runs import losses, run
from safetensors import safe_open

from lora_widgets.events import Notice, StepDone
from lora_widgets.families.autoencoder import Autoencoder
from lora_widgets.families.sdxl import SDXL


def test_both_text_encoders_learn_at_their_one_rate_and_are_in_the_file(config_of, tmp_path):
    events = run(config_of("SDXL", unet_lr=1e-4, text_encoder_lr=5e-5, max_train_steps=2))
    rates = [event.learning_rates for event in events if isinstance(event, StepDone)]
    assert rates[0] == {"unet": 1e-4, "text_encoder_1": 5e-5, "text_encoder_2": 5e-5}
    with safe_open(tmp_path / "out" / "tiny.safetensors", "pt") as file:
        metadata, names = file.metadata(), set(file.keys())
        for prefix in ("lora_te1_text_model_encoder_layers_0", "lora_te2_text_model_encoder_layers_0"):
            assert file.get_tensor(f"{prefix}_mlp_fc1.lora_up.weight").abs().max() > 0
    assert "lora_unet_input_blocks_4_1_proj_in.lora_up.weight" in names
    assert metadata["ss_base_model_version"] == "sdxl_base_v1-0"
    assert metadata["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert metadata["ss_clip_skip"] == "None"
    assert metadata["ss_text_encoder_lr"] == "5e-05"


def test_a_text_encoder_with_rate_0_is_neither_trained_nor_in_the_file(config_of, tmp_path):
    config = config_of("SDXL", text_encoder_lr=5e-5, text_encoder_1_lr=0, text_encoder_2_lr=2e-5)
    events = run(config.with_changes(max_train_steps=2, lr_scheduler="constant"))
    rates = [event.learning_rates for event in events if isinstance(event, StepDone)]
    assert rates == [{"unet": 5e-4, "text_encoder_2": 2e-5}] * 2
    with safe_open(tmp_path / "out" / "tiny.safetensors", "pt") as file:
        prefixes = {name.partition("_text_model_")[0] for name in file.keys() if "_te" in name}  # noqa: SIM118
        assert file.metadata()["ss_text_encoder_lr"] == "[0.0, 2e-05]"
    assert prefixes == {"lora_te2"}


def test_text_encoders_learn_at_rates_of_their_own(config_of):
    config = config_of("SDXL", text_encoder_lr=5e-5, text_encoder_1_lr=1e-5, max_train_steps=1)
    (step,) = [event for event in run(config) if isinstance(event, StepDone)]
    assert step.learning_rates == {"unet": 5e-4, "text_encoder_1": 1e-5, "text_encoder_2": 5e-5}


def test_the_sizes_of_pictures_reach_the_unet(config_of, monkeypatch):
    seen, predict = [], SDXL.predict

    def noted(self, noisy, times, text, sizes):
        seen.append(sizes)
        return predict(self, noisy, times, text, sizes)

    monkeypatch.setattr(SDXL, "predict", noted)
    config = config_of("SDXL", max_train_steps=1, sample_every_n_steps=1, sample_prompts="a --s 1 --w 128")
    run(config)
    drawn, trained, _ = seen
    assert drawn.tolist() == [[64, 128, 0, 0, 64, 128]] * 2  # without and with the prompt
    assert trained.shape == (4, 6)
    assert (trained[:, :2] >= 64).all()
    assert len(trained[:, :2].unique(dim=0)) > 1


@pytest.mark.parametrize("overflowing", ["encode", "decode"])
def test_a_vae_that_overflows_computes_in_full_precision_from_then_on(config_of, monkeypatch, overflowing):
    work = getattr(Autoencoder, overflowing)

    def limited(self, values, **how):
        made = work(self, values, **how)
        return made if self.model.dtype == torch.float32 else made * float("nan")

    monkeypatch.setattr(Autoencoder, overflowing, limited)
    config = config_of(
        "SDXL",
        mixed_precision="bf16",
        cache_latents=False,
        max_train_steps=2,
        sample_every_n_steps=2,
        sample_prompts="a --s 1",
    )
    events = run(config)
    assert all(loss == loss for loss in losses(events))
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert sum("overflows" in message for message in notices) == 1
