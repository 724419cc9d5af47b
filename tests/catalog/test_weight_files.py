"""Recognising files by the names and shapes of their tensors, as recorded from an independent trainer."""

import json
import lzma
from pathlib import Path

import pytest

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.catalog.weight_files import FILE_KINDS, kind_of

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = json.loads(lzma.decompress((GOLDEN / "weight_file_shapes.json.xz").read_bytes()))["files"]
LORA = json.loads(lzma.decompress((GOLDEN / "lora_keys.json.xz").read_bytes()))["cases"][0]["shapes"]
UNET = "model.diffusion_model."
CLIP = "text_model.encoder.layers.0.self_attn.q_proj.weight"
KNOWN = {
    "tiny-sd15.safetensors": "SD1.5",
    "tiny-sdxl.safetensors": "SDXL",
    "tiny-flux-dev.safetensors": "Flux dev",
    "tiny-flux-schnell.safetensors": "Flux schnell",
    "tiny-sd3.safetensors": "SD3",
    "tiny-sd35m.safetensors": "SD3.5",
    "tiny-clip_l.safetensors": "CLIP",
    "tiny-sd3-clip_g.safetensors": "CLIP",
    "tiny-sd3-clip_l.safetensors": "CLIP",
    "tiny-t5xxl.safetensors": "T5",
    "tiny-flux-ae.safetensors": "VAE-16",
    "tiny-sd15/vae/diffusion_pytorch_model.safetensors": "VAE",
    "tiny-sd15/unet/diffusion_pytorch_model.safetensors": "denoiser",
    "tiny-sd15/text_encoder/model.safetensors": "CLIP",
}


def shapes_of(name, **more):
    return {key: tuple(shape) for key, shape in {**FILES[name], **more}.items()}


def only(shapes, start):
    return {name: shape for name, shape in shapes.items() if name.startswith(start)}


def test_all_recorded_files_are_asked_about():
    assert KNOWN.keys() == FILES.keys()


@pytest.mark.parametrize(("name", "kind"), KNOWN.items())
def test_recorded_files_are_recognised(name, kind):
    assert kind_of(shapes_of(name)).name == kind


@pytest.mark.parametrize("name", [name for name, kind in KNOWN.items() if kind in ("SD1.5", "SDXL")])
def test_a_denoiser_alone_in_native_names_is_still_its_family(name):
    assert kind_of(only(shapes_of(name), UNET)).name == KNOWN[name]


@pytest.mark.parametrize("name", ["tiny-flux-dev.safetensors", "tiny-flux-schnell.safetensors"])
def test_flux_is_recognised_with_and_without_a_prefix(name):
    assert kind_of({UNET + key: shape for key, shape in shapes_of(name).items()}).name == KNOWN[name]


def test_adapters_of_all_kinds_are_recognised():
    assert kind_of({name: tuple(shape) for name, shape in LORA.items()}).name == "LoRA"
    assert kind_of({"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": (4, 9)}).name == "LoRA"
    assert kind_of({"lora_unet_mid_block.lokr_w1": (4, 4), "lora_unet_mid_block.alpha": ()}).name == "LoRA"


@pytest.mark.parametrize(
    ("base", "changes", "kind"),
    [
        ("tiny-sd15.safetensors", {UNET + "input_blocks.0.0.weight": (16, 9, 3, 3)}, "variant"),
        ("tiny-sdxl.safetensors", {UNET + "input_blocks.0.0.weight": (16, 8, 3, 3)}, "variant"),
        ("tiny-sd15.safetensors", {"cond_stage_model.model.token_embedding.weight": (9, 1024)}, "SD2"),
        (
            "tiny-sdxl.safetensors",
            {"conditioner.embedders.0.model.ln_final.bias": (8,)},
            "SDXL refiner",
        ),
        ("tiny-sdxl.safetensors", {"edm_mean": (4,)}, "like SDXL"),
        ("tiny-flux-dev.safetensors", {"img_in.weight": (64, 384)}, "like Flux"),
        ("tiny-flux-dev.safetensors", {"distilled_guidance_layer.in_proj.bias": (8,)}, "like Flux"),
    ],
)
def test_relatives_that_cannot_be_trained_are_told_apart(base, changes, kind):
    found = kind_of(shapes_of(base, **changes))
    assert (found.name, found.families) == (kind, ())


def test_an_sd2_unet_alone_is_told_by_the_width_of_its_text():
    wide = {
        name: (shape[0], 1024) if name.endswith("attn2.to_k.weight") else shape
        for name, shape in only(shapes_of("tiny-sd15.safetensors"), UNET).items()
    }
    assert kind_of(wide).name == "SD2"


@pytest.mark.parametrize(
    ("shapes", "kind"),
    [
        ({CLIP: (768, 768)}, "CLIP-L"),
        ({CLIP: (1280, 1280)}, "CLIP-G"),
        ({"transformer.resblocks.0.attn.in_proj_weight": (3840, 1280)}, "CLIP-G"),
        ({"vae.decoder.conv_in.weight": (512, 16, 3, 3)}, "VAE-16"),
        ({"first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3)}, "VAE"),
        ({"decoder.conv_in.weight": (512, 8, 3, 3)}, "other VAE"),
        ({"decoder.conv_in.weight": (384, 16, 3, 3, 3)}, "other"),
        ({"emb_params": (4, 768)}, "embedding"),
        ({"clip_l": (4, 768), "clip_g": (4, 1280)}, "embedding"),
        ({"control_model.input_blocks.0.0.weight": (320, 4, 3, 3)}, "ControlNet"),
        ({"transformer_blocks.0.attn.to_q.weight": (3072, 3072)}, "denoiser"),
        ({}, "other"),
        ({"weight": (3,)}, "other"),
    ],
)
def test_parts_and_strangers_are_recognised(shapes, kind):
    assert kind_of(shapes).name == kind


def test_families_of_the_table_exist():
    assert {family for kind in FILE_KINDS.values() for family in kind.families} == set(FAMILIES)
