"""The set of adapted modules and their names, against files an independent trainer wrote."""

import json
import lzma
from pathlib import Path

import pytest

with lzma.open(Path(__file__).parents[1] / "golden" / "lora_keys.json.xz") as file:
    CASES = json.load(file)["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"dim{c['dim']}-unet{c['unet']}-te{c['text_encoder']}")
def test_names_and_shapes_are_those_of_the_reference(attached, case):
    adapter = attached(
        network_dim=case["dim"],
        alpha=case["alpha"],
        trains_unet=case["unet"],
        trains_text_encoder=case["text_encoder"],
    )
    assert {key: list(tensor.shape) for key, tensor in adapter.tensors().items()} == case["shapes"]
    assert all(float(t) == case["alpha"] for key, t in adapter.tensors().items() if key.endswith("alpha"))
