"""What SD3 and SD3.5 do otherwise, on the models of tests/tiny.py; text against an independent trainer."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import module_of, settings_for

from lora_widgets.errors import ModelError
from lora_widgets.families.clip_text import tokenize
from lora_widgets.families.family import TextEmbedding, open_family

GOLDEN = Path(__file__).parents[1] / "golden" / "sd3_text_encoding.json"
CASES = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case["caption"][:10])
MODEL = "pretrained_model_name_or_path"
NORMS = ("q", "k", "added_q", "added_k")
SIZES = torch.zeros(1, 6)


@pytest.fixture
def copy(tiny_sd3, tmp_path):
    """Return a copy of the tiny SD3 that a test may change."""
    return shutil.copytree(tiny_sd3, tmp_path / "sd3")


def edit(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def noise(seed=0):
    return torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(seed))


@each_case
def test_token_ids_of_both_clips_are_those_of_the_reference(sd3, case):
    for tokenizer, recorded in ((sd3.clip_l.tokenizer, "l_ids"), (sd3.clip_g.tokenizer, "g_ids")):
        [[ids, length]] = case[recorded]
        ours = tokenize(tokenizer, [case["caption"]], max_tokens=75)
        assert ours.tolist() == [[ids + [ids[-1]] * (length - len(ids))]]


@each_case
def test_text_is_read_as_the_reference_reads_it(sd3, case):
    with torch.no_grad():
        text = sd3.encode_text([case["caption"]], skip=1)
    clips, t5 = text.hidden[:, :77], text.hidden[:, 77:]
    width = case["lg_out"]["shape"][-1]
    assert not clips[..., width:].any()
    for name, ours in (("lg_out", clips[..., :width]), ("t5_out", t5), ("lg_pooled", text.pooled)):
        recorded, flat = case[name], ours.flatten()
        assert list(ours.shape) == recorded["shape"]
        assert ours.norm().item() == pytest.approx(recorded["norm"], rel=1e-5)
        assert flat[:4].tolist() == pytest.approx(recorded["row0_first4"], rel=1e-5, abs=1e-5)
        assert flat[-4:].tolist() == pytest.approx(recorded["last4"], rel=1e-5, abs=1e-5)


def test_clip_skip_changes_nothing(sd3):
    with torch.no_grad():
        one, two = (sd3.encode_text(["a cat"], skip=skip) for skip in (1, 2))
    assert torch.equal(one.hidden, two.hidden)


def test_captions_of_t5_are_as_long_as_the_model_was_trained_with_unless_set(open_tiny_sd3, sd3):
    for setting, length in ((None, 256), (32, 32)):
        family = open_tiny_sd3(t5xxl_max_token_length=setting)
        lend_text_encoders(sd3, family)
        with torch.no_grad():
            assert family.encode_text(["a cat"], skip=1).hidden.shape == (1, 77 + length, 96)


def test_longer_captions_than_the_model_was_trained_with_are_told(open_tiny_sd3):
    (note,) = open_tiny_sd3(t5xxl_max_token_length=512).notes
    assert "is 512, but the base model was trained with 256 tokens of T5" in note
    assert open_tiny_sd3(t5xxl_max_token_length=256).notes == ()


def test_a_mask_leaves_zeros_where_t5_has_padding(open_tiny_sd3, sd3):
    family = open_tiny_sd3(apply_t5_attn_mask=True)
    lend_text_encoders(sd3, family)
    with torch.no_grad():
        masked, plain = (model.encode_text(["a cat"], skip=1).hidden[0, 77:] for model in (family, sd3))
    is_text = masked.abs().sum(dim=1) > 0
    assert 1 < is_text.sum() < 20
    assert is_text.diff().sum() == 1  # text first, then nothing else
    assert not torch.allclose(masked[is_text], plain[is_text])


def test_a_mask_leaves_zeros_where_the_clips_have_padding(open_tiny_sd3, sd3):
    family = open_tiny_sd3(apply_lg_attn_mask=True)
    lend_text_encoders(sd3, family)
    with torch.no_grad():
        masked, plain = (model.encode_text(["a cat", ""], skip=1).hidden for model in (family, sd3))
    ends = [
        (tokenize(sd3.clip_l.tokenizer, [text], max_tokens=75) == sd3.clip_l.tokenizer.eos_token_id)
        for text in ("a cat", "")
    ]
    for row, end in zip((0, 1), (int(ids.flatten().long().argmax()) + 1 for ids in ends), strict=True):
        assert torch.equal(masked[row, :end], plain[row, :end])
        assert plain[row, end:77].any()
        assert not masked[row, end:77].any()
    assert torch.equal(masked[:, 77:], plain[:, 77:])
    assert family.text.fingerprint() != sd3.text.fingerprint()


def test_single_encoders_are_left_out_of_single_captions(open_tiny_sd3, sd3):
    """What is left is what the others say."""
    rates = {"clip_l_dropout_rate": 0.5, "clip_g_dropout_rate": 0.25, "t5_dropout_rate": 1.0}
    drop = open_tiny_sd3(**rates).drop_encoders
    with torch.no_grad():
        text = sd3.encode_text(["a cat", "a dog"], skip=1)
    left = drop(text, torch.tensor([[0.4, 0.3, 0.999], [0.6, 0.2, 0.0]]))
    clip_l = sd3.clip_l.model.config
    width, pooled = clip_l.hidden_size, clip_l.projection_dim
    kept_hidden, kept_pooled = torch.zeros_like(text.hidden), torch.zeros_like(text.pooled)
    kept_hidden[0, :77, width:] = text.hidden[0, :77, width:]
    kept_hidden[1, :77, :width] = text.hidden[1, :77, :width]
    kept_pooled[0, pooled:], kept_pooled[1, :pooled] = text.pooled[0, pooled:], text.pooled[1, :pooled]
    assert torch.equal(left.hidden, kept_hidden)
    assert torch.equal(left.pooled, kept_pooled)
    assert open_tiny_sd3().drop_encoders is None


@pytest.mark.parametrize(("chances", "place"), [((0.1, 0.0, 0.99), "corner"), ((0.3, 0.0, 0.99), "middle")])
def test_positions_of_a_step_are_read_elsewhere_at_their_rate(open_tiny_sd3, chances, place):
    family = open_tiny_sd3(pos_emb_random_crop_rate=0.3)
    family.load_denoiser("cpu", torch.float32)
    embedding = family.transformer.pos_embed
    side = embedding.pos_embed_max_size
    table = embedding.pos_embed.reshape(side, side, -1)
    middle = (side - 4) // 2, (side - 4) // 2
    corners = {"corner": (0, side - 4), "middle": middle}[place], middle
    with torch.no_grad(), family.crop_positions(torch.tensor(chances)):
        read = embedding(noise())
    with torch.no_grad():
        plain, after = embedding.proj(noise()).flatten(2).transpose(1, 2), embedding(noise())
    for (top, left), found in zip(corners, (read, after), strict=True):
        positions = table[top : top + 4, left : left + 4].flatten(0, 1)
        torch.testing.assert_close(found, plain + positions)
    assert open_tiny_sd3().crop_positions is None


@pytest.mark.parametrize(("model", "said"), [("tiny_sd3", 1), ("tiny_sd35", 0)])
def test_random_positions_are_for_the_model_that_was_trained_so(request, model, said):
    family = open_family(settings_for(request.getfixturevalue(model), pos_emb_random_crop_rate=0.1))
    assert sum("`pos_emb_random_crop_rate`" in note for note in family.notes) == said


def lend_text_encoders(lender, family):
    pairs = zip((*family.clips, family.t5.encoder), (*lender.clips, lender.t5.encoder), strict=True)
    for own, lent in pairs:
        own.model, own.tokenizer = lent.model, lent.tokenizer


def test_a_model_without_t5_reads_zeros_in_its_place_and_says_so(open_tiny_sd3, copy, sd3):
    shutil.rmtree(copy / "text_encoder_3")
    family = open_tiny_sd3(**{MODEL: str(copy)})
    assert "comes without T5" in family.notes[0]
    family.text.load("cpu", torch.float32)
    with torch.no_grad():
        text, whole = (model.encode_text(["a cat"], skip=1) for model in (family, sd3))
    assert text.hidden.shape == (1, 77 + 77, 96)
    assert not text.hidden[:, 77:].any()
    assert torch.equal(text.hidden[:, :77], whole.hidden[:, :77])
    assert torch.equal(text.pooled, whole.pooled)
    assert sd3.notes == ()


def test_t5_never_learns(sd3):
    text = sd3.encode_text(["a cat"], skip=1)
    assert not text.hidden.requires_grad
    sd3.t5.encoder.model.requires_grad_(requires_grad=True)
    assert not sd3.encode_text(["a cat"], skip=1).hidden.requires_grad
    sd3.t5.encoder.model.requires_grad_(requires_grad=False)


def test_a_caption_reads_the_same_alone_and_in_a_batch(sd3):
    captions = ["", "a cat, " * 40, "a cat"]
    with torch.no_grad():
        batch = sd3.encode_text(captions, skip=1)
        for row, caption in enumerate(captions):
            alone = sd3.encode_text([caption], skip=1)
            torch.testing.assert_close(batch.hidden[row], alone.hidden[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(batch.pooled[row], alone.pooled[0], rtol=1e-5, atol=1e-5)


def test_the_transformer_reads_time_text_and_pooled_text(sd3):
    with torch.no_grad():
        text = sd3.encode_text(["a cat"], skip=1)
        before = sd3.predict(noise(), torch.tensor([500]), text, SIZES)
        for times, read in (
            (torch.tensor([501]), text),
            (torch.tensor([500]), TextEmbedding(text.hidden, torch.zeros_like(text.pooled))),
            (torch.tensor([500]), TextEmbedding(torch.zeros_like(text.hidden), text.pooled)),
        ):
            assert not torch.allclose(sd3.predict(noise(), times, read, SIZES), before)


def test_prediction_follows_the_transformers_type_and_works_under_autocast(open_tiny_sd3):
    family = open_tiny_sd3()
    family.load_denoiser("cpu", torch.bfloat16)
    text = TextEmbedding(torch.zeros(1, 100, 96), torch.zeros(1, 64))
    given = noise(), torch.tensor([1]), text, SIZES
    with torch.no_grad():
        plain = family.predict(*given)
        with torch.autocast("cpu", torch.bfloat16):
            cast = family.predict(*given)
    assert plain.shape == cast.shape == (1, 16, 8, 8)
    assert plain.isfinite().all()
    assert cast.isfinite().all()


def test_latents_are_shifted_and_scaled_as_the_model_says(sd3):
    pixels = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        drawn = sd3.vae.model.encode(pixels).latent_dist.sample(torch.Generator().manual_seed(1))
    ours = sd3.vae.encode(pixels, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours, (drawn - 0.0609) * 1.5305)
    with torch.no_grad():
        expected = sd3.vae.model.decode(drawn).sample.clamp(-1, 1)
    torch.testing.assert_close(sd3.vae.decode(ours), expected, rtol=1e-4, atol=1e-5)


def test_identity_names_the_base_model_for_other_programs(sd3, tiny_sd3, open_tiny_sd3, tiny_sd35, copy):
    identity = sd3.identity()
    assert identity["modelspec.architecture"] == "stable-diffusion-3-m/lora"
    assert identity["ss_base_model_version"] == "sd3-m"
    assert identity["ss_sd_model_name"] == tiny_sd3.name
    medium = open_tiny_sd3(**{MODEL: str(tiny_sd35)})
    assert medium.identity()["modelspec.architecture"] == "stable-diffusion-3-5-medium/lora"
    edit(copy / "transformer" / "config.json", qk_norm="rms_norm")
    file = copy / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    norms = [f"transformer_blocks.{n}.attn.norm_{of}.weight" for n in (0, 1) for of in NORMS]
    save_file(tensors | {name: torch.ones(64) for name in norms}, file)
    large = open_tiny_sd3(**{MODEL: str(copy)})
    assert large.identity()["modelspec.architecture"] == "stable-diffusion-3-5-large/lora"


@pytest.mark.parametrize("part", ["clip_l", "clip_g", "t5"])
def test_a_fingerprint_tells_every_text_encoder_apart(open_tiny_sd3, part):
    family = open_tiny_sd3()
    family.text.load("cpu", torch.float32)
    before = family.text.fingerprint()
    next(module_of(family, part).parameters())[0] += 1
    assert family.text.fingerprint() != before


def test_a_fingerprint_tells_how_t5_is_read(open_tiny_sd3, sd3):
    family = open_tiny_sd3(apply_t5_attn_mask=True)
    lend_text_encoders(sd3, family)
    assert family.text.fingerprint() != sd3.text.fingerprint()


def test_settings_of_t5_are_told_to_do_nothing_without_it(open_tiny_sd3, copy):
    shutil.rmtree(copy / "text_encoder_3")
    asked = {"t5_dropout_rate": 0.1, "t5xxl_max_token_length": 77, "apply_t5_attn_mask": True}
    notes = open_tiny_sd3(**{MODEL: str(copy)}, **asked).notes
    assert {f"`{name}` has no effect without T5." for name in asked} <= set(notes)


def test_caching_without_t5_while_both_clips_train_is_told(open_tiny_sd3, copy):
    shutil.rmtree(copy / "text_encoder_3")
    where = {"pretrained_model_name_or_path": str(copy), "cache_text_encoder_outputs": True}
    told = "Nothing of the captions is cached, for both CLIPs train."
    assert told in open_tiny_sd3(**where).notes
    assert told not in open_tiny_sd3(**where, text_encoder_lr=0.0).notes


def test_text_encoders_come_and_go_together(open_tiny_sd3):
    family = open_tiny_sd3()
    family.text.load("cpu", torch.float32)
    assert set(family.roots()) == set(family.text_encoders)
    family.text.unload()
    assert family.roots() == {}
    assert family.t5.encoder.model is None
    with pytest.raises(RuntimeError, match="text encoder of the base model is not loaded"):
        family.encode_text(["x"], skip=1)


def test_models_of_other_families_are_refused_with_a_remedy(open_tiny, open_tiny_sd3, tiny_sd3, tiny_sdxl):
    with pytest.raises(ModelError, match=r"but `model_type` is SD3\."):
        open_tiny_sd3(**{MODEL: str(tiny_sdxl)})
    with pytest.raises(ModelError, match=r"is a SD3 model, but `model_type` is SD1\.5\. Set `model_type` to"):
        open_tiny(**{MODEL: str(tiny_sd3)})


@pytest.mark.parametrize("missing", ["model_index.json", "transformer/config.json", "vae/config.json"])
def test_what_is_missing_is_named(open_tiny_sd3, copy, missing):
    (copy / missing).unlink()
    with pytest.raises(ModelError, match=rf"has no {missing}"):
        open_tiny_sd3(**{MODEL: str(copy)})


def test_an_autoencoder_of_another_family_is_refused(open_tiny_sd3, tiny_sdxl):
    with pytest.raises(ModelError, match="4 latent channels, but the transformer works on 16"):
        open_tiny_sd3(vae_path=str(tiny_sdxl / "vae"))
