"""Against encodings an independent trainer recorded for the model of tests/tiny.py."""

import json
from pathlib import Path

import pytest
import torch

from lora_widgets.errors import ModelError
from lora_widgets.families.clip_text import tokenize

CASES = json.loads((Path(__file__).parents[1] / "golden" / "text_encoding.json").read_text(encoding="utf-8"))[
    "cases"
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case["caption"][:20])


@each_case
def test_token_ids_are_those_of_the_reference(sd15, case):
    ids, length = case["ids"]
    expected = ids + [ids[-1]] * (length - len(ids))
    assert tokenize(sd15.tokenizer, [case["caption"]]).tolist() == [expected]


@each_case
@pytest.mark.parametrize("skip", [1, 2])
def test_hidden_states_are_those_of_the_reference(sd15, case, skip):
    recorded = case["clip_skip"][str(skip)]
    with torch.no_grad():
        hidden = sd15.encode_text([case["caption"]], skip=skip).hidden
    assert list(hidden.shape) == recorded["shape"]
    assert hidden.norm().item() == pytest.approx(recorded["norm"], rel=1e-5)
    assert hidden[0, 0, :4].tolist() == pytest.approx(recorded["row0_first4"], rel=1e-5, abs=1e-5)
    assert hidden[0, -1, -4:].tolist() == pytest.approx(recorded["last4"], rel=1e-5, abs=1e-5)


def test_a_caption_reads_the_same_alone_and_in_a_batch(sd15):
    with torch.no_grad():
        alone = sd15.encode_text(["a cat"], skip=2).hidden
        batch = sd15.encode_text(["", "a cat"], skip=2).hidden
    torch.testing.assert_close(alone[0], batch[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("skip", [0, 3, 12])
def test_skipping_more_layers_than_there_are_names_the_setting_and_the_limit(sd15, skip):
    with pytest.raises(
        ModelError, match=r"`clip_skip` is \d+, but the text encoder has 2 layers.*from 1 to 2"
    ):
        sd15.encode_text(["a cat"], skip=skip)
