"""The embedding type every family returns."""

from dataclasses import replace

import pytest
import torch

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.errors import ModelError
from lora_widgets.families.family import TextEmbedding


def an_embedding(rows, start=0.0):
    hidden = torch.arange(rows * 6, dtype=torch.float32).view(rows, 2, 3) + start
    return TextEmbedding(hidden, pooled=hidden[:, 0], mask=torch.ones(rows, 2, dtype=torch.long))


def test_rows_can_be_taken_and_joined_again():
    embedding = an_embedding(4)
    joined = TextEmbedding.cat([embedding.index([2, 0]), embedding.index(slice(1, 2))])
    assert torch.equal(joined.hidden, embedding.hidden[[2, 0, 1]])
    assert torch.equal(joined.pooled, embedding.pooled[[2, 0, 1]])
    assert torch.equal(joined.mask, embedding.mask[[2, 0, 1]])


def test_what_a_family_lacks_stays_none():
    embedding = TextEmbedding(torch.zeros(2, 2, 3))
    assert TextEmbedding.cat([embedding, embedding]).pooled is None
    assert embedding.index([0]).to("cpu", torch.bfloat16).mask is None


def test_a_mask_keeps_its_type_when_the_rest_is_converted():
    converted = an_embedding(2).to("cpu", torch.bfloat16)
    assert converted.hidden.dtype == converted.pooled.dtype == torch.bfloat16
    assert converted.mask.dtype == torch.long


def test_a_detached_embedding_has_no_history():
    hidden = torch.zeros(1, 2, 3, requires_grad=True) * 2
    assert not TextEmbedding(hidden).detach().hidden.requires_grad


def test_a_family_that_is_not_active_is_refused_with_those_that_are(open_tiny, monkeypatch):
    monkeypatch.setitem(FAMILIES, "Flux", replace(FAMILIES["Flux"], active=False))
    with pytest.raises(ModelError, match=r"`model_type` is Flux.*Set it to SD1\.5"):
        open_tiny(model_type="Flux")
