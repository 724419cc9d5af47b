"""What SDXL does otherwise than SD1.5, on the model of tests/tiny.py; text against an independent trainer."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny import module_of

from lora_widgets.errors import ModelError
from lora_widgets.families.clip_text import tokenize
from lora_widgets.families.family import TextEmbedding

GOLDEN = Path(__file__).parents[1] / "golden" / "sdxl_text_encoding.json"
CASES = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]
each_case = pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case['caption'][:10]}-{case['max_token_length']}"
)
MODEL = "pretrained_model_name_or_path"


def windows_of(chunks):
    return [[ids + [ids[-1]] * (length - len(ids)) for ids, length in chunks]]


@pytest.fixture
def reading(open_tiny_sdxl, sdxl):
    """Return the tiny SDXL with its text encoders, reading captions of some length."""

    def made(max_tokens):
        family = open_tiny_sdxl(max_token_length=max_tokens)
        family.clips = sdxl.clips
        return family

    return made


@pytest.fixture
def copy(tiny_sdxl, tmp_path):
    """Return a copy of the tiny SDXL that a test may change."""
    return shutil.copytree(tiny_sdxl, tmp_path / "sdxl")


def edit(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@each_case
def test_token_ids_are_those_of_the_reference(sdxl, case):
    for tokenizer, chunks in ((sdxl.clip_l.tokenizer, "chunks1"), (sdxl.clip_g.tokenizer, "chunks2")):
        ids = tokenize(tokenizer, [case["caption"]], max_tokens=case["max_token_length"])
        assert ids.tolist() == windows_of(case[chunks])


@each_case
def test_text_is_read_as_the_reference_reads_it(reading, case):
    with torch.no_grad():
        text = reading(case["max_token_length"]).encode_text([case["caption"]], skip=1)
    first, second = text.hidden.chunk(2, dim=-1)
    for name, ours in (("hidden1", first), ("hidden2", second), ("pooled", text.pooled)):
        recorded, flat = case[name], ours.flatten()
        assert list(ours.shape) == recorded["shape"]
        assert ours.norm().item() == pytest.approx(recorded["norm"], rel=1e-5)
        assert flat[:4].tolist() == pytest.approx(recorded["row0_first4"], rel=1e-5, abs=1e-5)
        assert flat[-4:].tolist() == pytest.approx(recorded["last4"], rel=1e-5, abs=1e-5)


def test_clip_skip_changes_nothing(sdxl):
    with torch.no_grad():
        one, two = (sdxl.encode_text(["a cat"], skip=skip) for skip in (1, 2))
    assert torch.equal(one.hidden, two.hidden)


def test_a_caption_reads_the_same_alone_and_in_a_batch(reading):
    family, captions = reading(150), ["", "a cat, " * 40, "a cat"]
    with torch.no_grad():
        batch = family.encode_text(captions, skip=1)
        for row, caption in enumerate(captions):
            alone = family.encode_text([caption], skip=1)
            torch.testing.assert_close(batch.hidden[row], alone.hidden[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(batch.pooled[row], alone.pooled[0], rtol=1e-5, atol=1e-5)


def test_the_unet_reads_every_size_and_the_pooled_text(sdxl):
    generator = torch.Generator().manual_seed(0)
    noisy, times = torch.randn(1, 4, 8, 8, generator=generator), torch.tensor([500])
    with torch.no_grad():
        text = sdxl.encode_text(["a cat"], skip=1)
        sizes = torch.tensor([[100, 200, 3, 4, 64, 64]])
        before = sdxl.predict(noisy, times, text, sizes)
        for place in range(6):
            other = sizes.clone()
            other[0, place] += 50
            assert not torch.allclose(sdxl.predict(noisy, times, text, other), before)
        emptied = TextEmbedding(text.hidden, torch.zeros_like(text.pooled))
        assert not torch.allclose(sdxl.predict(noisy, times, emptied, sizes), before)


def test_prediction_follows_the_unets_type_and_works_under_autocast(open_tiny_sdxl):
    family = open_tiny_sdxl()
    family.load_denoiser("cpu", torch.bfloat16)
    text = TextEmbedding(torch.zeros(2, 77, 64), torch.zeros(2, 32))
    given = torch.zeros(2, 4, 8, 8), torch.tensor([1, 2]), text, torch.full((2, 6), 1024)
    with torch.no_grad():
        plain = family.predict(*given)
        with torch.autocast("cpu", torch.bfloat16):
            cast = family.predict(*given)
    assert plain.shape == cast.shape == (2, 4, 8, 8)
    assert plain.isfinite().all()
    assert cast.isfinite().all()


def test_latents_are_scaled_as_the_model_says(sdxl):
    pixels = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        expected = (
            sdxl.vae.model.encode(pixels).latent_dist.sample(torch.Generator().manual_seed(1)) * 0.13025
        )
    ours = sdxl.vae.encode(pixels, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours, expected)


def test_a_model_that_predicts_v_is_known_by_its_scheduler(open_tiny_sdxl, copy):
    edit(copy / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    family = open_tiny_sdxl(**{MODEL: str(copy)})
    assert family.process.prediction == "v_prediction"
    assert family.identity()["modelspec.prediction_type"] == "v"


def test_identity_names_the_base_model_for_other_programs(sdxl, tiny_sdxl):
    identity = sdxl.identity()
    assert identity["ss_base_model_version"] == "sdxl_base_v1-0"
    assert identity["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert identity["ss_sd_model_name"] == tiny_sdxl.name
    assert identity["ss_clip_skip"] == "None"


@pytest.mark.parametrize("part", ["clip_l", "clip_g"])
def test_a_fingerprint_tells_either_text_encoder_apart(open_tiny_sdxl, part):
    family = open_tiny_sdxl()
    family.text.load("cpu", torch.float32)
    before = family.text.fingerprint()
    next(module_of(family, part).parameters())[0] += 1
    assert family.text.fingerprint() != before


def test_text_encoders_come_and_go_together(open_tiny_sdxl):
    family = open_tiny_sdxl()
    family.text.load("cpu", torch.float32)
    assert set(family.roots()) == set(family.text_encoders)
    family.text.unload()
    assert family.roots() == {}
    with pytest.raises(RuntimeError, match="text encoder of the base model is not loaded"):
        family.encode_text(["x"], skip=1)


def test_a_missing_second_text_encoder_is_named(open_tiny_sdxl, copy):
    shutil.rmtree(copy / "text_encoder_2")
    with pytest.raises(ModelError, match=r"has no text_encoder_2/config\.json"):
        open_tiny_sdxl(**{MODEL: str(copy)})


def test_a_model_of_another_family_is_refused_with_both_remedies(
    open_tiny, open_tiny_sdxl, tiny_sdxl, tiny_sd15
):
    with pytest.raises(
        ModelError, match=r"is a SD1\.5 model, but `model_type` is SDXL\. Set `model_type` to SD1"
    ):
        open_tiny_sdxl(**{MODEL: str(tiny_sd15)})
    with pytest.raises(
        ModelError, match=r"is a SDXL model, but `model_type` is SD1\.5\. Set `model_type` to SDXL"
    ):
        open_tiny(**{MODEL: str(tiny_sdxl)})


def test_the_refiner_is_refused_by_its_name(open_tiny_sdxl, copy):
    edit(copy / "unet" / "config.json", cross_attention_dim=1280)
    with pytest.raises(ModelError, match="is a SDXL refiner model"):
        open_tiny_sdxl(**{MODEL: str(copy)})


def test_latents_that_are_normalised_by_channel_are_refused(open_tiny_sdxl, copy):
    edit(copy / "vae" / "config.json", latents_mean=[0.1, 0.2, 0.3, 0.4], latents_std=[1, 1, 1, 1])
    with pytest.raises(ModelError, match=r"normalised by channel.*Playground"):
        open_tiny_sdxl(**{MODEL: str(copy)})
