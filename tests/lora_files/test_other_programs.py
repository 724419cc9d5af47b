"""Names that other programs look for, as rules written down from what they document and do.

ComfyUI (comfy/lora.py, functions model_lora_keys_unet and model_lora_keys_clip) makes the names it accepts
from those of the model's own weights. For every weight of the denoiser, which it calls ``diffusion_model.X``,
these are this name and ``lora_unet_`` with X flattened; for UNets also ``lora_unet_`` and ``unet.`` with the
path of diffusers. For every weight of a text encoder it is ``text_encoders.`` before its name; for CLIP also
``lora_te`` (one encoder), ``lora_te1`` (CLIP-L), ``lora_te2`` (CLIP-G beside it); for T5 ``lora_te3``. For
Flux and SD3 it takes ``transformer.`` with the path of diffusers. Tensors may be lora_up and lora_down,
lora_A and lora_B, or those of LyCORIS.

AUTOMATIC1111's web UI (extensions-builtin/Lora) reads Stable Diffusion 1 and XL: ``lora_unet_`` with
diffusers' or LDM's path, ``lora_te_text_model_encoder_layers_``, ``lora_te1_`` and ``lora_te2_``.
"""

import re

import pytest
from adapter_files import FAMILIES, VERSIONS, first_case, random_adapter, recorded
from tiny import tiny_tensors

from lora_widgets.lora_files.dialects import in_dialect
from lora_widgets.lora_files.lora_file import recognised
from lora_widgets.lora_files.paths import flat

TENSORS = re.compile(r"\.(lora_(up|down|mid)\.weight|lora_[AB]\.weight|alpha)$")
CLIP = r"text_model_encoder_layers_\d+_(mlp_fc[12]|self_attn_(q|k|v|out)_proj)"
T5 = r"encoder_block_\d+_layer_[01]_(SelfAttention_[qkvo]|DenseReluDense_w(i|i_0|i_1|o))"
TEXT_NAMES = {
    "SD1.5": rf"lora_te_{CLIP}",
    "SDXL": rf"lora_te[12]_{CLIP}",
    "Flux": rf"lora_te1_{CLIP}|lora_te3_{T5}",
    "SD3": rf"lora_te[12]_{CLIP}|lora_te3_{T5}",
}
GENERIC_TEXT = re.compile(r"text_encoders\.(clip_l|clip_g|t5xxl)\.transformer\.(text_model\.)?encoder\..+")
WEB_UI = {
    "SD1.5": r"lora_unet_(down_blocks_\d+|mid_block|up_blocks_\d+)_"
    r"(attentions|resnets|downsamplers|upsamplers)_\d+_.+",
    "SDXL": r"lora_unet_((in|out)put_blocks_\d+_\d+|middle_block_\d)_.+",
}


def denoiser_paths(model):
    """Return the paths of the weights of the tiny model's denoiser in its own file."""
    name = {"flux": "flux-dev"}.get(model, model)
    names = tiny_tensors(f"tiny-{name}.safetensors")
    start = "model.diffusion_model."
    inside = [n.removeprefix(start) for n in names if n.startswith(start)] or list(names)
    return {name.removesuffix(".weight") for name in inside if name.endswith(".weight")}


def modules_of(tensors):
    assert all(TENSORS.search(key) for key in tensors)
    return {TENSORS.sub("", key) for key in tensors}


def adapters(model):
    """Return every recorded adapter of a model, with the family."""
    family = FAMILIES[model]
    about = {"ss_base_model_version": VERSIONS[family]}
    for case in (case for case in recorded() if case["family"] == model):
        yield family, recognised(random_adapter(case), about).modules


@pytest.mark.parametrize("model", list(FAMILIES))
def test_comfyui_finds_every_name_of_kohyas_dialect(model):
    known = {f"lora_unet_{flat(path)}" for path in denoiser_paths(model)}
    for family, modules in adapters(model):
        for name in modules_of(in_dialect(modules, "kohya", family=family)):
            if name.startswith("lora_unet_") and family == "SD1.5":
                assert re.fullmatch(WEB_UI[family], name) or name.startswith("lora_unet_time_"), name
            elif name.startswith("lora_unet_"):
                assert name in known
            else:
                assert re.fullmatch(TEXT_NAMES[family], name), name


@pytest.mark.parametrize("model", list(FAMILIES))
def test_comfyui_finds_every_name_of_the_native_dialect(model):
    known = {f"diffusion_model.{path}" for path in denoiser_paths(model)}
    for family, modules in adapters(model):
        for name in modules_of(in_dialect(modules, "native", family=family)):
            assert name in known or GENERIC_TEXT.fullmatch(name), name


@pytest.mark.parametrize("model", ["sd15", "sdxl"])
def test_the_web_ui_finds_every_name_of_kohyas_dialect(model):
    for family, modules in adapters(model):
        for name in modules_of(in_dialect(modules, "kohya", family=family)):
            assert re.fullmatch(f"{WEB_UI[family]}|{TEXT_NAMES[family]}", name), name


@pytest.mark.parametrize("model", ["flux", "sd3", "sd35m"])
def test_diffusers_gets_matrices_alone_below_its_own_parts(model):
    family = FAMILIES[model]
    modules = recognised(
        random_adapter(first_case(model)), {"ss_base_model_version": VERSIONS[family]}
    ).modules
    tensors = in_dialect(modules, "diffusers", family=family)
    for key in tensors:
        assert re.fullmatch(r"(transformer|text_encoder(_[23])?)\..+\.lora_[AB]\.weight", key), key
        if (
            key.startswith("text_encoder.text_model") and model == "flux"
        ):  # for each generation of transformers
            assert key.replace(".text_model", "", 1) in tensors
        assert "qkv" not in key
        assert "linear1" not in key
