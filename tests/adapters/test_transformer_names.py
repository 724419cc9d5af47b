"""The adapted modules of the real Flux, SD3 and SD3.5, against files an independent trainer wrote."""

import json
import lzma
from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel
from tiny import make_tiny, settings_for, tiny_tensors
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from lora_widgets.adapters.targets import targets
from lora_widgets.catalog.layer_presets import LayerChoice
from lora_widgets.families.family import Root, open_family
from lora_widgets.families.flux_names import flux_root
from lora_widgets.families.sd3_names import sd3_root

with lzma.open(Path(__file__).parents[1] / "golden" / "transformer_lora_keys.json.xz") as file:
    RECORDED = json.load(file)
SD3 = {"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536}
TRANSFORMERS = {
    "flux": lambda: flux_root(FluxTransformer2DModel(guidance_embeds=True)),
    "sd3": lambda: sd3_root(SD3Transformer2DModel(**SD3)),
    "sd35m": lambda: sd3_root(
        SD3Transformer2DModel(**SD3, dual_attention_layers=tuple(range(13)), qk_norm="rms_norm")
    ),
}
CLIP_L = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12)
CLIP_G = CLIPTextConfig(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32)
T5_XXL = T5Config(
    d_model=4096, d_ff=10240, num_layers=24, num_heads=64, d_kv=64, feed_forward_proj="gated-gelu"
)
TEXT_ENCODERS = {
    "lora_te1": lambda: CLIPTextModel(CLIP_L),
    "lora_te2": lambda: CLIPTextModelWithProjection(CLIP_G),
    "lora_te3": lambda: T5EncoderModel(T5_XXL),
}


def sizes(root):
    return {target.name: [target.layer.in_features, target.num_rows] for target in targets(root)}


def recorded(family, prefix):
    return {name: size for name, size in RECORDED[family].items() if name.startswith(prefix)}


@pytest.mark.parametrize("family", list(TRANSFORMERS))
def test_the_transformers_names_and_sizes_are_those_of_the_reference(family):
    with torch.device("meta"):
        root = TRANSFORMERS[family]()
    assert sizes(root) == recorded(family, "lora_unet")


@pytest.mark.parametrize(
    ("prefix", "family"), [("lora_te1", "flux"), ("lora_te2", "sd3"), ("lora_te3", "flux")]
)
def test_the_text_encoders_names_and_sizes_are_those_of_the_reference(prefix, family):
    with torch.device("meta"):
        encoder = TEXT_ENCODERS[prefix]()
    assert sizes(Root(encoder, prefix)) == recorded(family, prefix)


def test_rows_are_stacked_as_the_authors_code_does():
    with torch.device("meta"):
        root = flux_root(FluxTransformer2DModel(num_layers=1, num_single_layers=1))
    found = {target.name: target for target in targets(root)}
    paths = {module: path for path, module in root.module.named_modules()}
    order = {name: [paths[member.module] for member in target.members] for name, target in found.items()}
    single = "single_transformer_blocks.0"
    assert order["lora_unet_single_blocks_0_linear1"] == [
        f"{single}.attn.to_q",
        f"{single}.attn.to_k",
        f"{single}.attn.to_v",
        f"{single}.proj_mlp",
    ]
    assert [member.rows for member in found["lora_unet_single_blocks_0_linear1"].members] == [
        slice(0, 3072),
        slice(3072, 6144),
        slice(6144, 9216),
        slice(9216, 21504),
    ]


def test_only_the_last_modulation_of_the_text_has_its_halves_swapped():
    with torch.device("meta"):
        root = TRANSFORMERS["sd3"]()
    assert [t.name for t in targets(root) if any(member.halves_swapped for member in t.members)] == [
        "lora_unet_joint_blocks_23_context_block_adaLN_modulation_1"
    ]


@pytest.mark.parametrize("name", ["flux-dev", "sd3"])
def test_every_layer_is_called_as_in_the_publishers_file_and_has_its_order_of_rows(tmp_path, name):
    family = open_family(settings_for(make_tiny(name, tmp_path / name)))
    family.load_denoiser("cpu", torch.float32)
    root, file = family.roots()["unet"], tiny_tensors(f"tiny-{name}.safetensors")
    found = targets(root, LayerChoice(frozenset({type(root.module).__name__}), kernels=True))
    theirs = {key.removeprefix("model.diffusion_model."): tensor.float() for key, tensor in file.items()}
    for target in found:
        assert torch.equal(target.weight(), theirs[f"{target.path}.weight"]), target.path
    assert {"final_layer.linear", "final_layer.adaLN_modulation.1"} < {target.path for target in found}
