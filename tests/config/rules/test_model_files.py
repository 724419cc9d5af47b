"""What is said about weight files by what they hold."""

import pytest
from situations import finding_of

from lora_widgets.catalog.weight_files import FILE_KINDS

MODEL = "pretrained_model_name_or_path"
SETTINGS = {
    MODEL: "wrong_base_model",
    "vae_path": "wrong_vae",
    "continue_from_lora": "wrong_start_lora",
    "clip_l_path": "wrong_text_encoder",
    "clip_g_path": "wrong_text_encoder",
    "t5xxl_path": "wrong_text_encoder",
}


def said(setting, kind, model_type):
    changes = {"model_type": model_type, setting: "file.safetensors"}
    return finding_of(SETTINGS[setting], changes, {"files": {setting: kind}})


@pytest.mark.parametrize(
    ("setting", "kind", "model_type"),
    [
        (MODEL, "SD1.5", "SD1.5"),
        (MODEL, "SD3.5", "SD3"),
        (MODEL, "Flux dev", "Flux"),
        (MODEL, "Flux schnell", "Flux"),
        ("vae_path", "VAE", "SD1.5"),
        ("vae_path", "VAE", "SDXL"),
        ("vae_path", "VAE-16", "Flux"),
        ("clip_l_path", "CLIP-L", "Flux"),
        ("clip_g_path", "CLIP-G", "SD3"),
        ("t5xxl_path", "T5", "SD3"),
        ("continue_from_lora", "LoRA", "SD1.5"),
        ("clip_l_path", "T5", "SD1.5"),  # where the setting has no effect at all
    ],
)
def test_a_file_in_its_place_is_no_finding(setting, kind, model_type):
    assert said(setting, kind, model_type) is None


@pytest.mark.parametrize(
    ("setting", "kind", "model_type", "words"),
    [
        (MODEL, "SD1.5", "Flux", ("but `model_type` is Flux", "or set `model_type` to SD1.5")),
        (MODEL, "SD2", "SD1.5", ("a Stable Diffusion 2 model, which cannot be trained here", "plain SD1.5")),
        (MODEL, "SDXL refiner", "SDXL", ("the SDXL refiner, which cannot be trained",)),
        (MODEL, "LoRA", "SD1.5", ("not a base model", "set `continue_from_lora` to it")),
        (MODEL, "CLIP-G", "SD3", ("not a base model", "set `clip_g_path` to it")),
        (MODEL, "embedding", "SD1.5", ("a textual-inversion embedding, not a base model",)),
        ("clip_l_path", "CLIP-G", "SD3", ("a CLIP-G text encoder, but the CLIP-L text encoder belongs",)),
        ("clip_g_path", "CLIP-L", "SD3", ("but the CLIP-G text encoder belongs there",)),
        ("t5xxl_path", "CLIP-L", "Flux", ("but the T5-XXL text encoder belongs there",)),
        ("vae_path", "VAE", "Flux", ("4 latent channels, but `model_type` is Flux", "a VAE made for Flux")),
        ("continue_from_lora", "VAE", "SD1.5", ("but a LoRA belongs there",)),
    ],
)
def test_a_file_in_the_wrong_place_is_named_with_the_remedy(setting, kind, model_type, words):
    finding = said(setting, kind, model_type)
    assert finding is not None
    for word in (*words, f"`{setting}` is 'file.safetensors'"):
        assert word in str(finding)


def test_a_text_encoder_is_sent_only_where_the_family_has_a_place_for_it():
    assert "clip_l_path" not in str(said(MODEL, "CLIP-L", "SD1.5"))
    assert "clip_l_path" in str(said(MODEL, "CLIP-L", "Flux"))


def test_a_family_that_can_be_trained_is_offered():
    fix = said(MODEL, "SD1.5", "Flux").fix
    assert fix is not None
    assert fix.changes == {"model_type": "SD1.5"}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", FILE_KINDS)
@pytest.mark.parametrize("model_type", ["SD1.5", "SDXL", "SD3", "Flux"])
def test_there_is_something_to_say_about_every_kind_everywhere(setting, kind, model_type):
    finding = said(setting, kind, model_type)
    assert finding is None or finding.remedy


@pytest.mark.parametrize(
    ("model_type", "kind", "facts", "changes", "words"),
    [
        ("Flux", "Flux dev", "denoiser alone", {}, ("a VAE and CLIP-L and T5-XXL", "`t5xxl_path` to files")),
        (
            "Flux",
            "Flux dev",
            "denoiser alone",
            {"vae_path": "v", "t5xxl_path": "t"},
            ("`clip_l_path` to a file",),
        ),
        ("SD3", "SD3", "denoiser alone", {"vae_path": "v"}, ("without CLIP-L.",)),
        ("SDXL", "SDXL", "denoiser alone", {"vae_path": "v"}, ("without a text encoder.", "complete SDXL")),
        ("SD1.5", "SD1.5", "SD1.5", {}, None),
        ("SD1.5", "Flux dev", "denoiser alone", {}, None),  # another family, which another rule tells
        ("Flux", "", "denoiser alone", {}, None),  # a folder
    ],
)
def test_parts_that_no_file_holds_are_asked_for(model_type, kind, facts, changes, words):
    found = {"files": {MODEL: kind} if kind else {}, "base_model": facts}
    finding = finding_of("parts_missing_from_file", {"model_type": model_type, MODEL: "f", **changes}, found)
    assert (finding is None) == (words is None)
    assert all(word in f"{finding.message} {finding.remedy}" for word in words or ())
