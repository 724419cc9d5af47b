"""Loading, pictures and prediction of SD1.5, on the model of tests/tiny.py."""

import json
import shutil

import pytest
import torch

from lora_widgets.diffusion.ddpm import scaled_linear_betas
from lora_widgets.errors import ModelError
from lora_widgets.families.family import TextEmbedding


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_opening_reads_shapes_and_the_noise_schedule_without_loading_weights(open_tiny):
    family = open_tiny()
    assert (family.vae.latent_factor, family.vae.latent_channels) == (8, 4)
    assert torch.equal(family.process.betas, scaled_linear_betas(1000, start=0.00085, end=0.012))
    assert family.process.prediction == "epsilon"
    assert family.roots() == {}
    assert family.unet is family.vae.model is family.clip_l.model is None


def test_zero_terminal_snr_rescales_the_schedule(open_tiny):
    assert open_tiny(zero_terminal_snr=True).process.snr(torch.tensor([999])).item() == 0


def test_the_schedule_and_prediction_are_the_models_own(tiny_sd15, tmp_path, open_tiny):
    folder = shutil.copytree(tiny_sd15, tmp_path / "model")
    config = folder / "scheduler" / "scheduler_config.json"
    own = {
        "beta_schedule": "linear",
        "beta_start": 0.001,
        "beta_end": 0.02,
        "prediction_type": "v_prediction",
    }
    config.write_text(json.dumps(json.loads(config.read_text()) | own))
    process = open_tiny(pretrained_model_name_or_path=str(folder)).process
    assert process.prediction == "v_prediction"
    torch.testing.assert_close(process.betas[[0, -1]], torch.tensor([0.001, 0.02]))


def test_an_unknown_schedule_is_refused_by_name(tiny_sd15, tmp_path, open_tiny):
    folder = shutil.copytree(tiny_sd15, tmp_path / "model")
    (folder / "scheduler" / "scheduler_config.json").write_text('{"beta_schedule": "squaredcos_cap_v2"}')
    with pytest.raises(ModelError, match="squaredcos_cap_v2"):
        open_tiny(pretrained_model_name_or_path=str(folder))


def test_parts_are_frozen_and_in_eval_mode(sd15):
    for part in (sd15.vae.model, sd15.clip_l.model, sd15.unet):
        assert not part.training
        assert not any(parameter.requires_grad for parameter in part.parameters())


def test_parts_load_in_the_type_asked_for_and_unload(open_tiny):
    family = open_tiny(no_half_vae=False)
    family.vae.load("cpu", torch.bfloat16)
    assert family.vae.model.dtype == torch.bfloat16
    family.text.load("cpu", torch.bfloat16)
    assert family.clip_l.model.dtype == torch.bfloat16
    assert set(family.roots()) == {"text_encoder"}
    family.text.unload()
    family.vae.unload()
    family.unload_denoiser()
    assert family.roots() == {}
    assert family.vae.model is None


def test_no_half_vae_keeps_the_autoencoder_in_float32(open_tiny):
    family = open_tiny(no_half_vae=True)
    family.vae.load("cpu", torch.float16)
    assert family.vae.model.dtype == torch.float32


def test_latents_are_scaled_float32_and_depend_on_the_generator_alone(sd15):
    pixels = torch.rand(2, 3, 64, 48, generator=seeded()) * 2 - 1
    latents = sd15.vae.encode(pixels, generator=seeded(1))
    torch.randn(3)
    assert latents.shape == (2, 4, 8, 6)
    assert latents.dtype == torch.float32
    assert torch.equal(latents, sd15.vae.encode(pixels, generator=seeded(1)))
    assert not torch.equal(latents, sd15.vae.encode(pixels, generator=seeded(2)))


def test_each_picture_can_have_noise_of_its_own(sd15):
    pixels = torch.rand(2, 3, 64, 48, generator=seeded()) * 2 - 1
    both = sd15.vae.encode(pixels, generator=[seeded(1), seeded(2)])
    for row, seed in enumerate((1, 2)):
        alone = sd15.vae.encode(pixels[row : row + 1], generator=seeded(seed))
        torch.testing.assert_close(both[row : row + 1], alone)


def test_latents_are_those_of_diffusers_times_the_scale(sd15):
    pixels = torch.rand(1, 3, 64, 64, generator=seeded()) * 2 - 1
    with torch.no_grad():
        expected = sd15.vae.model.encode(pixels).latent_dist.sample(seeded(1)) * 0.18215
    torch.testing.assert_close(sd15.vae.encode(pixels, generator=seeded(1)), expected)


def test_decoded_pixels_are_float32_between_minus_1_and_1(sd15):
    pixels = sd15.vae.decode(torch.randn(1, 4, 8, 8, generator=seeded()) * 30)
    assert pixels.shape == (1, 3, 64, 64)
    assert pixels.dtype == torch.float32
    assert pixels.abs().max() <= 1


def test_autocast_around_the_autoencoder_does_not_lower_its_precision(sd15):
    pixels = torch.rand(1, 3, 64, 64, generator=seeded()) * 2 - 1
    latents = sd15.vae.encode(pixels, generator=seeded(1))
    decoded = sd15.vae.decode(latents)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(sd15.vae.encode(pixels, generator=seeded(1)), latents)
        assert torch.equal(sd15.vae.decode(latents), decoded)


def test_a_replacement_autoencoder_is_used_and_named(tiny_sd15, tmp_path, open_tiny):
    vae = shutil.copytree(tiny_sd15 / "vae", tmp_path / "my-vae")
    family = open_tiny(vae_path=str(vae))
    family.vae.load("cpu", torch.float32)
    assert family.identity()["ss_vae_name"] == "my-vae"
    assert family.vae.decode(torch.zeros(1, 4, 8, 8)).shape == (1, 3, 64, 64)


def test_prediction_follows_the_unets_type_and_works_under_autocast(open_tiny):
    family = open_tiny()
    family.load_denoiser("cpu", torch.bfloat16)
    noisy, text = torch.zeros(2, 4, 8, 8), TextEmbedding(torch.zeros(2, 77, 32))
    times, sizes = torch.tensor([1, 2]), torch.zeros(2, 6)
    with torch.no_grad():
        plain = family.predict(noisy, times, text, sizes)
        with torch.autocast("cpu", torch.bfloat16):
            cast = family.predict(noisy, times, text, sizes)
    assert plain.shape == cast.shape == noisy.shape
    assert plain.isfinite().all()
    assert cast.isfinite().all()


def test_identity_names_the_base_model_for_other_programs(sd15, tiny_sd15):
    assert sd15.identity()["ss_base_model_version"] == "sd_v1"
    assert sd15.identity()["ss_sd_model_name"] == tiny_sd15.name


def test_using_a_part_that_is_not_loaded_is_a_clear_mistake(open_tiny):
    with pytest.raises(RuntimeError, match="text encoder of the base model is not loaded"):
        open_tiny().encode_text(["x"], skip=1)


def test_a_clip_skip_beyond_the_text_encoder_is_refused_before_loading(open_tiny):
    with pytest.raises(ModelError, match=r"`clip_skip` is 9, but the text encoder has \d+ layers"):
        open_tiny(clip_skip=9)


def test_a_fingerprint_tells_weights_formats_and_vocabularies_apart(open_tiny, tiny_sd15, tmp_path):
    other_words = shutil.copytree(tiny_sd15 / "tokenizer", tmp_path / "words")
    rules = (other_words / "merges.txt").read_text().splitlines()
    (other_words / "merges.txt").write_text("\n".join(rules[:-1]) + "\n")
    family, again, reading = open_tiny(), open_tiny(), open_tiny(tokenizer_path=str(other_words))
    for one in (family, again, reading):
        one.vae.load("cpu", torch.float32)
        one.text.load("cpu", torch.float32)
    before = [family.vae.fingerprint(), family.text.fingerprint()]
    assert [again.vae.fingerprint(), again.text.fingerprint()] == before
    assert reading.vae.fingerprint() == before[0]
    family.vae.model.decoder.conv_out.bias[0] += 1
    again.vae.model.to(torch.bfloat16)
    again.clip_l.model.to(torch.float16)
    changed = [family.vae, again.vae, again.text, reading.text]
    assert len({*before, *(part.fingerprint() for part in changed)}) == 6


def test_the_autoencoder_can_turn_to_full_precision(open_tiny):
    family = open_tiny(no_half_vae=False)
    family.vae.load("cpu", torch.bfloat16)
    assert family.vae.use_float32()
    assert family.vae.model.dtype == torch.float32
    assert not family.vae.use_float32()
    assert family.vae.encode(torch.zeros(1, 3, 64, 64), generator=seeded()).isfinite().all()


def test_the_vae_works_in_tiles_where_asked_and_its_latents_are_known_apart(open_tiny):
    families = [open_tiny(vae_tiling=in_tiles) for in_tiles in (False, True)]
    for family in families:
        family.vae.load("cpu", torch.float32)
        family.vae.model.tile_sample_min_size, family.vae.model.tile_latent_min_size = 64, 8
    pixels = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole, tiled = (
        family.vae.encode(pixels, generator=torch.Generator().manual_seed(0)) for family in families
    )
    assert whole.shape == tiled.shape
    assert not torch.equal(whole, tiled)
    assert families[0].vae.fingerprint() != families[1].vae.fingerprint()


def test_attention_runs_through_fused_kernels(sd15):
    processors = {type(processor).__name__ for processor in sd15.unet.attn_processors.values()}
    assert processors == {"AttnProcessor2_0"}  # the one that calls torch's scaled_dot_product_attention
