"""The set of adapted modules and their names, against files an independent trainer wrote."""

import json
import lzma
from pathlib import Path

import pytest
import torch

from lora_widgets.adapters.targets import targets
from lora_widgets.catalog.unet_paths import sgm_path
from lora_widgets.families.family import Root


def read(name):
    with lzma.open(Path(__file__).parents[1] / "golden" / f"{name}.json.xz") as file:
        return json.load(file)


SDXL = read("sdxl_lora_keys")
CASES = {"sd15": read("lora_keys")["cases"], "sdxl": SDXL["cases"]}
REAL_SDXL = {  # of the UNet of Stable Diffusion XL; the rest is the class's default
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


@pytest.fixture
def model_folder(request, name):
    """Return the folder of the family that a test is about."""
    return request.getfixturevalue(f"tiny_{name}")


@pytest.mark.parametrize(
    ("name", "case"),
    [
        pytest.param(name, case, id=f"{name}-dim{case['dim']}-unet{case['unet']}-te{case['text_encoder']}")
        for name, cases in CASES.items()
        for case in cases
    ],
)
def test_names_and_shapes_are_those_of_the_reference(attached, case):
    adapter = attached(
        network_dim=case["dim"],
        network_alpha=case["alpha"],
        trains_unet=case["unet"],
        trains_text_encoder=case["text_encoder"],
    )
    assert {key: list(tensor.shape) for key, tensor in adapter.tensors().items()} == case["shapes"]
    assert all(float(t) == case["alpha"] for key, t in adapter.tensors().items() if key.endswith("alpha"))


def test_names_for_the_real_sdxl_are_those_of_the_reference():
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**REAL_SDXL)
    found = {
        target.name: target.layer.weight.shape[1] for target in targets(Root(unet, "lora_unet", sgm_path))
    }
    down = ".lora_down.weight"
    assert found == {
        key.removesuffix(down): shape[1]
        for key, shape in SDXL["real"].items()
        if key.startswith("lora_unet") and key.endswith(down)
    }
