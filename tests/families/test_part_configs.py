"""The configurations of parts: those that come with the package, and a user's own."""

import json

import pytest

from lora_widgets.errors import ModelError
from lora_widgets.families.part_classes import (
    AUTOENCODER,
    CLIP,
    CLIP_WITH_PROJECTION,
    FLUX_TRANSFORMER,
    T5,
    UNET,
)
from lora_widgets.families.part_configs import embedded_configs, read_configs


@pytest.mark.parametrize(
    ("family", "published"),  # with the first model of each family
    [
        ("sd15", {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}),
        (
            "sdxl",
            {
                "unet": 2_567_463_684,
                "vae": 83_653_863,
                "text_encoder": 123_060_480,
                "text_encoder_2": 694_659_840,
            },
        ),
        (
            "flux",
            {
                "transformer": 11_901_408_320,
                "vae": 83_819_683,
                "text_encoder": 123_060_480,
                "text_encoder_2": 4_762_310_656,
            },
        ),
    ],
)
def test_the_embedded_configurations_build_models_of_the_real_size(family, published):
    kinds = {
        "unet": UNET,
        "vae": AUTOENCODER,
        "text_encoder": CLIP,
        "text_encoder_2": T5 if family == "flux" else CLIP_WITH_PROJECTION,
        "transformer": FLUX_TRANSFORMER,
    }
    configs = embedded_configs(family)
    counts = {
        part: sum(
            tensor.numel()
            for name, tensor in kind.without_memory(configs[part]).named_parameters()
            if name != "encoder.embed_tokens.weight"  # the same as "shared.weight"
        )
        for part, kind in kinds.items()
        if part in configs
    }
    assert counts == published


def test_a_folder_replaces_the_parts_that_it_has(tmp_path, tiny_sd15):
    (tmp_path / "unet").mkdir()
    own = json.loads((tiny_sd15 / "unet" / "config.json").read_text())
    (tmp_path / "unet" / "config.json").write_text(json.dumps(own))
    configs = read_configs("sd15", str(tmp_path))
    assert configs["unet"] == own
    assert {part: config for part, config in configs.items() if part != "unet"} == {
        part: config for part, config in embedded_configs("sd15").items() if part != "unet"
    }


def test_a_whole_model_gives_all_its_configurations(tiny_sd15):
    configs = read_configs("sd15", str(tiny_sd15))
    assert configs["scheduler"]["_class_name"] == "PNDMScheduler"
    assert configs["text_encoder"]["hidden_size"] == 32


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("nothing.json", None, "but nothing is there"),
        ("a.json", "{", "which cannot be read"),
        ("a.json", "\ud800", "which cannot be read"),
        ("a.json", "[1]", "which is no JSON object"),
        ("a.json", '{"unet": 3}', "which holds no configuration of a part"),
        ("", None, "which holds no configuration of a part"),
        ("a\0b", None, "but nothing is there"),
    ],
)
def test_what_is_no_configuration_is_refused_with_the_forms_that_are(tmp_path, name, text, found):
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ModelError) as caught:
        read_configs("sd15", str(path))
    message = str(caught.value)
    assert message.startswith(f"`model_config_path` is {str(path)!r}, {found}")
    assert "Set it to a folder in diffusers layout" in message
