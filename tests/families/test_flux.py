"""What Flux does otherwise, on the model of tests/tiny.py; text against an independent trainer."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline
from hypothesis import given
from hypothesis import strategies as st
from tiny import module_of

from lora_widgets.errors import ModelError
from lora_widgets.families import clip_text, t5_text
from lora_widgets.families.family import TextEmbedding
from lora_widgets.families.flux_transformer import pack, places, unpack

GOLDEN = Path(__file__).parents[1] / "golden" / "flux_text_encoding.json"
CASES = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case["caption"][:10])
MODEL, SIZES = "pretrained_model_name_or_path", torch.zeros(1, 6)
NOISY, TIMES = torch.randn(1, 16, 4, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([500.0])


@pytest.fixture
def copy(tiny_flux, tmp_path):
    """Return a copy of the tiny Flux that a test may change."""
    return shutil.copytree(tiny_flux, tmp_path / "flux")


@pytest.fixture(scope="session")
def schnell(tmp_path_factory):
    """Folder of a Flux schnell in miniature."""
    from tiny import make_tiny

    return make_tiny("flux-schnell", tmp_path_factory.mktemp("tiny_flux_schnell"))


@pytest.fixture
def text(flux):
    with torch.no_grad():
        return flux.encode_text(["a cat"], skip=1)


def edit(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def whole(chunks):
    ((ids, length),) = chunks
    return ids + [ids[-1]] * (length - len(ids))


@each_case
def test_token_ids_are_those_of_the_reference(flux, case):
    ids = clip_text.tokenize(flux.clip_l.tokenizer, [case["caption"]], max_tokens=75)
    assert ids[0, 0].tolist() == whole(case["clip_ids"])
    ids, mask = t5_text.tokenize(
        flux.t5.encoder.tokenizer, [case["caption"]], max_tokens=case["t5xxl_max_token_length"]
    )
    assert ids[0].tolist() == whole(case["t5_ids"])
    assert mask.sum() == case["t5_mask_sum"]


@each_case
def test_text_is_read_as_the_reference_reads_it(flux, case):
    with torch.no_grad():
        read = flux.encode_text([case["caption"]], skip=2)
    assert read.mask is None
    for name, ours in (("clip_pooled", read.pooled), ("t5_out", read.hidden)):
        recorded, flat = case[name], ours.flatten()
        assert list(ours.shape) == recorded["shape"]
        assert ours.norm().item() == pytest.approx(recorded["norm"], rel=1e-5)
        assert flat[:4].tolist() == pytest.approx(recorded["row0_first4"], rel=1e-5, abs=1e-5)
        assert flat[-4:].tolist() == pytest.approx(recorded["last4"], rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(("model", "length"), [("tiny_flux", 512), ("schnell", 256)])
def test_t5_reads_as_many_tokens_as_the_model_was_trained_with(open_tiny_flux, request, model, length):
    folder = str(request.getfixturevalue(model))
    family = open_tiny_flux(**{MODEL: folder}, t5xxl_max_token_length=None, apply_t5_attn_mask=True)
    family.text.load("cpu", torch.float32)
    with torch.no_grad():
        read = family.encode_text(["a cat", "a cat that sits"], skip=1)
    assert read.hidden.shape[1] == length
    assert read.mask.shape == (2, length)
    assert 0 < read.mask[0].sum() < read.mask[1].sum() < length


def test_what_is_masked_is_not_looked_at(flux, text):
    mask = torch.arange(text.hidden.shape[1])[None] < 5
    changed = text.hidden.clone()
    changed[:, 5:] += 1
    with torch.no_grad():
        seen, unseen = (
            [
                flux.predict(NOISY, TIMES, replace(text, hidden=hidden, mask=m), SIZES)
                for hidden in (text.hidden, changed)
            ]
            for m in (None, mask)
        )
    torch.testing.assert_close(unseen[0], unseen[1])
    assert not torch.allclose(seen[0], seen[1])


@given(rows=st.integers(1, 4), columns=st.integers(1, 4), channels=st.integers(1, 3))
def test_patches_are_packed_as_diffusers_does_and_unpacked_again(rows, columns, channels):
    latents = torch.arange(2 * channels * rows * columns * 4.0).view(2, channels, 2 * rows, 2 * columns)
    tokens = pack(latents)
    assert torch.equal(tokens, FluxPipeline._pack_latents(latents, *latents.shape))
    assert torch.equal(unpack(tokens, latents.shape), latents)
    theirs = FluxPipeline._prepare_latent_image_ids(2, rows, columns, "cpu", torch.float32)
    assert torch.equal(places(rows, columns, device="cpu"), theirs)


def test_dev_is_told_guidance_and_schnell_is_not(flux, text, open_tiny_flux, schnell):
    other = open_tiny_flux(**{MODEL: str(schnell)})
    other.load_denoiser("cpu", torch.float32)
    guided = replace(text, guidance=torch.tensor([3.5]))
    with torch.no_grad():
        plain, strong = (flux.predict(NOISY, TIMES, read, SIZES) for read in (text, guided))
        same, again = (other.predict(NOISY, TIMES, read, SIZES) for read in (text, guided))
        as_set = replace(text, guidance=torch.tensor([1.0]))
        assert torch.equal(plain, flux.predict(NOISY, TIMES, as_set, SIZES))
    assert not torch.allclose(plain, strong)
    assert torch.equal(same, again)


def test_guidance_of_training_is_the_setting(open_tiny_flux, flux, text):
    family = open_tiny_flux(guidance_scale=3.5)
    family.transformer = flux.transformer
    with torch.no_grad():
        expected = flux.predict(NOISY, TIMES, replace(text, guidance=torch.tensor([3.5])), SIZES)
        assert torch.equal(family.predict(NOISY, TIMES, text, SIZES), expected)


def test_what_the_variant_has_no_use_for_is_told(open_tiny_flux, schnell):
    family = open_tiny_flux(**{MODEL: str(schnell)}, guidance_scale=3.5, t5xxl_max_token_length=512)
    guidance, length = family.notes
    assert guidance.startswith("`guidance_scale` is 3.5, but the base model is Flux schnell")
    assert "was trained with 256 tokens" in length
    assert open_tiny_flux(t5xxl_max_token_length=512, guidance_scale=3.5).notes == ()


def test_only_dev_is_drawn_with_a_shift_by_size(flux, open_tiny_flux, schnell):
    even = torch.linspace(1, 0.25, 4)
    shape = torch.Size([1, 16, 128, 128])
    torch.testing.assert_close(open_tiny_flux(**{MODEL: str(schnell)}).process.timetable(4, shape), even)
    assert (flux.process.timetable(4, shape)[1:] > even[1:]).all()


def test_prediction_follows_the_transformers_type_and_works_under_autocast(open_tiny_flux):
    family = open_tiny_flux()
    family.load_denoiser("cpu", torch.bfloat16)
    given = NOISY, TIMES, TextEmbedding(torch.zeros(1, 20, 96), torch.zeros(1, 32)), SIZES
    with torch.no_grad():
        plain = family.predict(*given)
        with torch.autocast("cpu", torch.bfloat16):
            cast = family.predict(*given)
    assert plain.shape == cast.shape == NOISY.shape
    assert plain.isfinite().all()
    assert cast.isfinite().all()


def test_latents_are_shifted_and_scaled_as_the_model_says(flux):
    pixels = torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        drawn = flux.vae.model.encode(pixels).latent_dist.sample(torch.Generator().manual_seed(1))
    ours = flux.vae.encode(pixels, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours, (drawn - 0.1159) * 0.3611)
    with torch.no_grad():
        expected = flux.vae.model.decode(drawn, return_dict=False)[0].clamp(-1, 1)
    torch.testing.assert_close(flux.vae.decode(ours), expected, rtol=1e-4, atol=1e-5)


def test_gradient_checkpointing_changes_no_gradient(open_tiny_flux, flux):
    gradients = []
    for checkpointing in (False, True):
        family = open_tiny_flux()
        family.load_denoiser("cpu", torch.float32)
        if checkpointing:
            family.enable_gradient_checkpointing(unet=True, text_encoder=False)
        text = TextEmbedding(torch.ones(1, 8, 96), torch.ones(1, 32), torch.ones(1, 8))
        noisy = NOISY.clone().requires_grad_()
        family.predict(noisy, TIMES, text, SIZES).square().mean().backward()
        gradients.append(noisy.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(("model", "architecture"), [("tiny_flux", "dev"), ("schnell", "schnell")])
def test_identity_names_the_base_model_for_other_programs(open_tiny_flux, request, model, architecture):
    folder = request.getfixturevalue(model)
    identity = open_tiny_flux(**{MODEL: str(folder)}).identity()
    assert identity["ss_base_model_version"] == "flux1"
    assert identity["modelspec.architecture"] == f"flux-1-{architecture}/lora"
    assert identity["ss_sd_model_name"] == folder.name


@pytest.mark.parametrize("part", ["clip_l", "t5"])
def test_a_fingerprint_tells_either_text_encoder_and_the_length_apart(open_tiny_flux, part):
    family = open_tiny_flux()
    family.text.load("cpu", torch.float32)
    before = family.text.fingerprint()
    next(module_of(family, part).parameters())[0] += 1
    assert family.text.fingerprint() != before
    longer = open_tiny_flux(t5xxl_max_token_length=65)
    longer.text.load("cpu", torch.float32)
    assert longer.text.fingerprint() != before


def test_text_encoders_come_and_go_together(open_tiny_flux):
    family = open_tiny_flux()
    family.text.load("cpu", torch.float32)
    assert set(family.roots()) == set(family.text_encoders)
    family.text.unload()
    assert family.roots() == {}
    with pytest.raises(RuntimeError, match="text encoder of the base model is not loaded"):
        family.text.fingerprint()


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder", "text_encoder_2"])
def test_a_missing_part_is_named(open_tiny_flux, copy, part):
    shutil.rmtree(copy / part)
    with pytest.raises(ModelError, match=f"has no {part}/config.json"):
        open_tiny_flux(**{MODEL: str(copy)})


def test_a_model_of_another_family_is_refused(open_tiny_flux, tiny_sdxl):
    with pytest.raises(ModelError, match="which is a SDXL model, but `model_type` is Flux"):
        open_tiny_flux(**{MODEL: str(tiny_sdxl)})


def test_a_variant_for_filling_is_refused(open_tiny_flux, copy):
    edit(copy / "transformer" / "config.json", in_channels=384, out_channels=64)
    with pytest.raises(ModelError, match="a variant for filling or editing"):
        open_tiny_flux(**{MODEL: str(copy)})


def test_the_vae_of_another_family_is_refused(open_tiny_flux, tiny_sd15, tiny_flux):
    with pytest.raises(ModelError, match="an autoencoder with 4 latent channels, but Flux works on 16"):
        open_tiny_flux(vae_path=str(tiny_sd15 / "vae"))
    assert open_tiny_flux(vae_path=str(tiny_flux)).identity()["ss_vae_name"] == "vae"
