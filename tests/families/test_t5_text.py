"""Reading captions with T5, against an independent trainer; the model is that of tests/tiny.py."""

import json
from pathlib import Path

import pytest
import torch

from lora_widgets.families import t5_text

GOLDEN = Path(__file__).parents[1] / "golden" / "sd3_text_encoding.json"
CASES = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case["caption"][:10])


@pytest.fixture(scope="module")
def tokenizer(tiny_sd3):
    from transformers import T5TokenizerFast

    return T5TokenizerFast.from_pretrained(tiny_sd3, subfolder="tokenizer_3")


@pytest.fixture
def encoder(tiny_sd3):
    from transformers import T5EncoderModel

    return T5EncoderModel.from_pretrained(tiny_sd3, subfolder="text_encoder_3", dtype=torch.float32).eval()


@pytest.fixture
def read(tokenizer):
    """Return what an encoder says of captions, without gradients."""

    @torch.no_grad()
    def states(encoder, *captions, masked=False):
        ids, mask = t5_text.tokenize(tokenizer, captions, max_tokens=64)
        return t5_text.encode(encoder, ids, mask=mask if masked else None)

    return states


@each_case
def test_token_ids_are_those_of_the_reference(tokenizer, case):
    length = case["t5xxl_max_token_length"]
    ids, mask = t5_text.tokenize(tokenizer, [case["caption"]], max_tokens=length)
    [[recorded, full]] = case["t5_ids"]
    assert ids.tolist() == [recorded + [recorded[-1]] * (full - len(recorded))]
    assert mask.sum() == sum(id_ != 0 for id_ in recorded)


@each_case
def test_text_is_read_as_the_reference_reads_it(read, encoder, case):
    ours, recorded = read(encoder, case["caption"]), case["t5_out"]
    assert list(ours.shape) == recorded["shape"]
    assert ours.norm().item() == pytest.approx(recorded["norm"], rel=1e-5)
    assert ours.flatten()[:4].tolist() == pytest.approx(recorded["row0_first4"], rel=1e-5, abs=1e-5)
    assert ours.flatten()[-4:].tolist() == pytest.approx(recorded["last4"], rel=1e-5, abs=1e-5)


def test_a_caption_of_no_text_is_tokenized(tokenizer):
    ids, _ = t5_text.tokenize(tokenizer, ["a \udcff"], max_tokens=16)
    assert ids.shape == (1, 16)


def test_a_mask_hides_the_padding_from_the_text(read, encoder, tokenizer):
    ids, mask = t5_text.tokenize(tokenizer, ["a cat"], max_tokens=64)
    length = int(mask.sum())
    with torch.no_grad():
        alone = t5_text.encode(encoder, ids[:, :length], mask=None)
    masked, plain = read(encoder, "a cat", masked=True), read(encoder, "a cat")
    torch.testing.assert_close(masked[:, :length], alone, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(plain[:, :length], alone, atol=1e-3)


@pytest.mark.parametrize("autocast", [False, True])
def test_numbers_beyond_fp16_survive_in_fp16(read, encoder, autocast):
    with torch.no_grad():
        for name, layer in encoder.named_modules():
            if name.endswith("DenseReluDense.wo"):
                layer.weight.mul_(30000)
    expected = read(encoder, "a cat")
    assert not torch.allclose(read(encoder.half(), "a cat").float(), expected, rtol=0.05, atol=0.05)
    t5_text.keep_range(encoder)
    with torch.autocast("cpu", torch.float16, enabled=autocast):
        ours = read(encoder, "a cat").float()
    torch.testing.assert_close(ours, expected, rtol=0.05, atol=0.05)


def test_wider_formats_stay_as_they_are(encoder):
    t5_text.keep_range(encoder.bfloat16())
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.bfloat16}
