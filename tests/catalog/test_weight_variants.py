"""Which files of a part's folder are read where it holds the same weights several times."""

import pytest

from lora_widgets.catalog.weight_variants import variant_of, weights_of_one_variant

SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
HALVES = ["model.fp16-00001-of-00002.safetensors", "model.fp16-00002-of-00002.safetensors"]
OLD_HALVES = ["model-00001-of-00002.fp16.safetensors", "model-00002-of-00002.fp16.safetensors"]
WHOLE, BIN = ["diffusion_pytorch_model.safetensors"], ["diffusion_pytorch_model.bin"]


@pytest.mark.parametrize(
    ("others", "wanted"),
    [
        ([], WHOLE),
        (HALVES, SHARDS),
        (HALVES, HALVES),
        ([], OLD_HALVES),
        (["model.fp16.safetensors", "model.safetensors.index.json", "config.json"], SHARDS),
        (SHARDS, ["model.safetensors"]),
        (["diffusion_pytorch_model.non_ema.safetensors", *BIN], WHOLE),
        (
            ["diffusion_pytorch_model.non_ema.safetensors"],
            ["diffusion_pytorch_model.fp16.safetensors"],
        ),
        (["pytorch_lora_weights.safetensors", "._diffusion_pytorch_model.safetensors"], WHOLE),
        (["openvino_model.bin", "model.onnx"], BIN),
        (["readme.md"], ["flux1-dev.safetensors"]),
        (["readme.md"], []),
    ],
)
def test_one_set_of_weights_is_chosen(others, wanted):
    assert weights_of_one_variant({*others, *wanted}) == tuple(wanted)


def test_a_name_tells_the_variant():
    assert [variant_of(name) for name in (WHOLE[0], HALVES[0], OLD_HALVES[0], "x.txt")] == [
        *(None, "fp16", "fp16", None)
    ]
