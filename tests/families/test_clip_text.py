"""Against encodings an independent trainer recorded for the model of tests/tiny.py."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from lora_widgets.config.captions import TOKENS_PER_WINDOW as WINDOW
from lora_widgets.demo.paths import model_folder
from lora_widgets.errors import ModelError
from lora_widgets.families.clip_text import cut_windows, join_windows, tokenize, weighted_tokens

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "text_encoding.json").read_text(encoding="utf-8"))
each_case = pytest.mark.parametrize(
    "case", GOLDEN["cases"], ids=lambda case: f"{case['caption'][:10]}-{case['max_token_length']}"
)
BEGIN, END = 98, 99


@cache
def read_demo_tokenizer():
    return CLIPTokenizer.from_pretrained(model_folder() / "tokenizer")


def windows_of(case) -> list[list[list[int]]]:
    return [[ids + [ids[-1]] * (length - len(ids)) for ids, length in case["chunks"]]]


@pytest.fixture
def sd15_reading(open_tiny, sd15):
    """Return the tiny model with its text encoder, reading captions of some length."""

    def reading(max_tokens):
        family = open_tiny(max_token_length=max_tokens)
        family.clip_l = sd15.clip_l
        return family

    return reading


@each_case
def test_token_ids_are_those_of_the_reference(sd15, case):
    ids = tokenize(sd15.clip_l.tokenizer, [case["caption"]], max_tokens=case["max_token_length"])
    assert ids.tolist() == windows_of(case)


@pytest.mark.parametrize("case", GOLDEN["padded_with_0"], ids=lambda case: str(case["max_token_length"]))
def test_token_ids_padded_otherwise_are_those_of_the_reference(tiny_sd15, case):
    tokenizer = CLIPTokenizer.from_pretrained(tiny_sd15, subfolder="tokenizer", pad_token="!")
    assert tokenizer.pad_token_id == 0
    ids = tokenize(tokenizer, [case["caption"]], max_tokens=case["max_token_length"])
    assert ids.tolist() == windows_of(case)


def test_bytes_that_are_no_text_are_read_as_question_marks(sd15):
    ids = tokenize(sd15.clip_l.tokenizer, ["a \udcff cat", "a ? cat"], max_tokens=75)
    assert torch.equal(ids[0], ids[1])


@each_case
@pytest.mark.parametrize("skip", [1, 2])
def test_hidden_states_are_those_of_the_reference(sd15_reading, case, skip):
    recorded = case["clip_skip"][str(skip)]
    with torch.no_grad():
        hidden = sd15_reading(case["max_token_length"]).encode_text([case["caption"]], skip=skip).hidden
    assert list(hidden.shape) == recorded["shape"]
    assert hidden.norm().item() == pytest.approx(recorded["norm"], rel=1e-5)
    assert hidden.sum().item() == pytest.approx(recorded["sum"], rel=1e-5, abs=1e-3)
    assert hidden[0, 0, :4].tolist() == pytest.approx(recorded["row0_first4"], rel=1e-5, abs=1e-5)
    assert hidden[0, -1, -4:].tolist() == pytest.approx(recorded["last4"], rel=1e-5, abs=1e-5)


@given(st.lists(st.integers(1, BEGIN - 1), max_size=240), st.integers(1, 3), st.sampled_from([0, END]))
def test_windows_hold_the_text_in_order_between_begin_and_end(text, count, padding):
    kept = text[: WINDOW * count]
    row = [BEGIN, *kept, END, *[padding] * (WINDOW * count - len(kept))]
    windows = cut_windows(torch.tensor([row, row]), end=END, padding=padding)
    assert windows.shape == (2, count, WINDOW + 2)
    assert torch.equal(windows[0], windows[1])
    assert (windows[0, :, 0] == BEGIN).all()
    assert [
        number for number in windows[0, :, 1:-1].flatten().tolist() if number not in (END, padding)
    ] == kept
    assert all(END in window for window in windows[0, :, 1:].tolist())
    assert all(set(window[window.index(END) :]) <= {END, padding} for window in windows[0].tolist())


@given(st.integers(1, 3), st.integers(1, 3))
def test_joined_windows_keep_the_first_begin_the_last_end_and_all_between(batch, count):
    states = torch.arange(batch * count * 77.0).reshape(batch, count, 77, 1)
    joined = join_windows(states)
    assert joined.shape == (batch, WINDOW * count + 2, 1)
    for row, windows in zip(joined[..., 0].tolist(), states[..., 0].tolist(), strict=True):
        assert row == [windows[0][0], *(x for window in windows for x in window[1:-1]), windows[-1][-1]]


def test_a_caption_reads_the_same_alone_and_in_a_batch(sd15_reading):
    family, long = sd15_reading(150), "a cat, " * 40
    with torch.no_grad():
        batch = family.encode_text(["", long, "a cat"], skip=2).hidden
        for row, caption in zip(batch, ["", long, "a cat"], strict=True):
            alone = family.encode_text([caption], skip=2).hidden
            torch.testing.assert_close(alone[0], row, rtol=1e-5, atol=1e-5)


def test_words_beyond_the_first_window_act_only_where_there_is_room(sd15_reading):
    start = "a cat, " * 30
    with torch.no_grad():
        short, long = (
            sd15_reading(max_tokens).encode_text([start + "dog", start + "tree"], skip=1).hidden
            for max_tokens in (75, 150)
        )
    assert torch.equal(short[0], short[1])
    assert torch.equal(long[0, :76], long[1, :76])
    assert not torch.equal(long[0], long[1])


def test_every_window_passes_gradients_to_a_text_encoder_that_trains(sd15_reading):
    family = sd15_reading(225)
    table = family.clip_l.model.get_input_embeddings().weight
    words = ("cat", "dog", "tree")
    caption = " ".join(word + " ," * 74 for word in words)
    try:
        table.requires_grad_(True)
        hidden = family.encode_text([caption], skip=2).hidden
        (gradient,) = torch.autograd.grad(hidden.square().sum(), table)
    finally:
        table.requires_grad_(False)
    ids = [family.clip_l.tokenizer.convert_tokens_to_ids(f"{word}</w>") for word in words]
    assert (gradient[ids].abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("skip", [0, 3, 12])
def test_skipping_more_layers_than_there_are_names_the_setting_and_the_limit(sd15, skip):
    with pytest.raises(
        ModelError, match=r"`clip_skip` is \d+, but the text encoder has 2 layers.*from 1 to 2"
    ):
        sd15.encode_text(["a cat"], skip=skip)


@pytest.fixture
def sd15_weighing(open_tiny, sd15):
    """Return the tiny model with its text encoder, reading weights in captions of some length."""

    def weighing(max_tokens):
        family = open_tiny(max_token_length=max_tokens, weighted_captions=True)
        family.clip_l = sd15.clip_l
        return family

    return weighing


@pytest.mark.parametrize(
    "case", GOLDEN["weighted"], ids=lambda case: f"{case['caption'][:10]}-{case['max_token_length']}"
)
def test_weighted_captions_are_read_as_the_reference_reads_them(sd15_weighing, case):
    family, recorded = sd15_weighing(case["max_token_length"]), case["encoded"]
    tokens = weighted_tokens(family.clip_l.tokenizer, [case["caption"]], max_tokens=case["max_token_length"])
    assert tokens.ids.tolist() == windows_of(case)
    weights = [row + [row[-1]] * (length - len(row)) for row, length in case["weights"]]
    inner = [weight for row in weights for weight in row[1:-1]]
    assert tokens.weights[0].tolist() == pytest.approx([1.0, *inner, 1.0])
    with torch.no_grad():
        hidden = family.encode_text([case["caption"]], skip=1).hidden
    assert hidden.norm().item() == pytest.approx(recorded["norm"], rel=1e-5)
    assert hidden.sum().item() == pytest.approx(recorded["sum"], rel=1e-5, abs=1e-3)
    assert hidden[0, 0, :4].tolist() == pytest.approx(recorded["row0_first4"], rel=1e-5, abs=1e-5)
    assert hidden[0, -1, -4:].tolist() == pytest.approx(recorded["last4"], rel=1e-5, abs=1e-5)


@given(st.text(alphabet="ab, 12é", max_size=200), st.sampled_from([75, 150]))
def test_a_caption_without_brackets_reads_the_same_with_weights(caption, max_tokens):
    tokenizer = read_demo_tokenizer()
    weighted = weighted_tokens(tokenizer, [caption, "a"], max_tokens=max_tokens)
    assert torch.equal(weighted.ids, tokenize(tokenizer, [caption, "a"], max_tokens=max_tokens))
    assert (weighted.weights == 1).all()


def test_weights_reach_both_encoders_of_sdxl_and_not_the_pooled_text(open_tiny_sdxl, sdxl):
    weighing = open_tiny_sdxl(weighted_captions=True)
    weighing.clips = sdxl.clips
    with torch.no_grad():
        plain, weighted = sdxl.encode_text(["a cat"], skip=1), weighing.encode_text(["a (cat:1.5)"], skip=1)
    ratio = weighted.hidden / plain.hidden
    torch.testing.assert_close(ratio[0, 2], torch.full_like(ratio[0, 2], 1.5))
    assert torch.equal(weighted.hidden[0, :2], plain.hidden[0, :2])
    assert torch.equal(weighted.hidden[0, 3:], plain.hidden[0, 3:])
    assert torch.equal(weighted.pooled, plain.pooled)
