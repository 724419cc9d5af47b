"""How many numbers an adapter trains, by the headers of files, is what adapters have that are made."""

import pytest
import torch
from tiny import make_tiny, make_tiny_file, settings_for

from lora_widgets.adapters.attach import attach
from lora_widgets.adapters.targets import targets
from lora_widgets.catalog.layer_presets import LayerChoice
from lora_widgets.config.adapter_size import adapter_numbers, factors
from lora_widgets.data.base_model import base_model_facts
from lora_widgets.families.family import open_family

SMALL = {"network_dim": 3, "network_alpha": 3, "conv_dim": 2, "conv_alpha": 2}
DIMS = ", ".join(str(number % 4) for number in range(25))
EVERY_WAY = [
    {"lora_type": "LoRA", **SMALL},
    {"lora_type": "LoRA", **SMALL, "block_dims": DIMS},
    {"lora_type": "LoCon", **SMALL, "use_tucker": True, "use_scalar": True, "train_norm": True},
    {"lora_type": "LoCon", **SMALL, "block_dims": DIMS, "conv_block_dims": DIMS},
    {"lora_type": "LoCon", "network_dim": 3, "network_alpha": 3, "conv_dim": 0},
    {"lora_type": "LoKR", **SMALL},
    {"lora_type": "LoKR", **SMALL, "factor": 3, "dora_wd": True, "wd_on_output": False},
    {"lora_type": "LoKR", **SMALL, "factor": 4, "use_tucker": True, "unbalanced_factorization": True},
    {"lora_type": "LoKR", "network_dim": 1, "network_alpha": 1, "conv_dim": 1, "decompose_both": True},
    {"lora_type": "LoKR", **SMALL, "full_matrix": True, "use_scalar": True},
    {"lora_type": "DyLoRA", "network_dim": 4, "network_alpha": 4, "conv_dim": 4, "block_size": 2},
    {"lora_type": "DoRA", **SMALL, "wd_on_output": False},
    {"lora_type": "LoHa", **SMALL, "use_tucker": True, "dora_wd": True, "use_scalar": True},
    {"lora_type": "(IA)³"},
    {"lora_type": "GLoRA", **SMALL, "use_scalar": True, "train_norm": True},
    {"lora_type": "Native Fine-Tuning", "train_norm": True},
    {"lora_type": "Diag-OFT", "network_dim": 6, "conv_dim": 4, "rescaled": True},
    {"lora_type": "BOFT", "network_dim": 18, "conv_dim": 18, "rescaled": True},
    {"lora_type": "LoCon", **SMALL, "preset": "attn-only"},
    {"lora_type": "LoHa", **SMALL, "preset": "unet-convblock-only", "text_encoder_lr": 0.0},
    {"lora_type": "LoRA", **SMALL, "text_encoder_lr": 0.0},
]
SOME_WAYS = [EVERY_WAY[0], EVERY_WAY[2], EVERY_WAY[5], EVERY_WAY[13], EVERY_WAY[15], EVERY_WAY[17]]


# In words of preset files: classes of single blocks, of layers, of all there is, and outside of blocks.
PRESET = """
unet_target_module = ["CrossAttnDownBlock2D", "UpBlock2D", "AdaLayerNormZero", "GEGLU", "SingleStreamBlock"]
unet_target_name = ["time_embed.0", "final_layer.*", "x_embedder.*", "img_in", ".*attn.qkv"]
text_encoder_target_module = ["CLIPTextTransformer"]
text_encoder_target_name = ["text_projection"]
exclude_name = [".*k_proj", ".*to_k"]
[module_algo_map]
Conv2d = { algo = "lokr", factor = 4 }
CLIPSdpaAttention = { dim = 5 }
GELU = { dim = 7 }
[name_algo_map]
".*to_v" = { algo = "loha", dim = 2 }
".*fc1" = { algo = "full" }
"""


def opened(model):
    family = open_family(settings_for(model))
    family.text.load("cpu", torch.float32)
    family.load_denoiser("cpu", torch.float32)
    return family


def described(layer, shape, *, has_bias):
    return (layer.path, frozenset(layer.blocks), tuple(shape), has_bias, layer.has_kernel, layer.is_norm)


def differences(model, ways):
    """Return the ways in which the count is not that of the adapter, with both."""
    family = opened(model)
    found = {}
    for way in ways:
        config = settings_for(model, **way)
        facts = base_model_facts(dict(config))
        assert facts is not None
        adapter = attach(family, config, generator=torch.Generator().manual_seed(0))
        real, counted = sum(adapter.num_parameters().values()), adapter_numbers(config, facts.layers)
        adapter.detach()
        if real != counted:
            found[str(way)] = (real, counted)
    return found


@pytest.mark.slow
def test_each_type_is_counted_as_it_is_made(tmp_path):
    assert differences(make_tiny("sd15", tmp_path / "sd15"), EVERY_WAY) == {}


@pytest.mark.parametrize(
    "name", ["sd15", pytest.param("sdxl", marks=pytest.mark.slow), "flux-schnell", "sd35m"]
)
def test_each_family_is_counted_as_it_is_made(tmp_path, name):
    assert differences(make_tiny(name, tmp_path / name), SOME_WAYS) == {}


@pytest.mark.parametrize("name", ["sd15", "sdxl", "flux-dev", "flux-schnell", "sd3", "sd35m"])
def test_every_layer_is_known_with_all_classes_around_it(tmp_path, name):
    model = make_tiny(name, tmp_path / name)
    facts, roots = base_model_facts(dict(settings_for(model))), opened(model).roots()
    assert facts is not None
    assert {layer.component for layer in facts.layers} == set(roots)
    for component, root in roots.items():
        everything = LayerChoice(frozenset({type(root.module).__name__}), kernels=True, norms=True)
        made = {
            described(target, target.weight().shape, has_bias=target.bias() is not None)
            for target in targets(root, everything)
        }
        said = {
            described(layer, layer.shape, has_bias=layer.has_bias)
            for layer in facts.layers
            if layer.component == component
        }
        assert said == made


@pytest.mark.parametrize("name", ["sdxl", "flux-dev", "sd35m"])
def test_what_a_preset_file_chooses_is_counted_as_it_is_made(tmp_path, name):
    preset = tmp_path / "mine.toml"
    preset.write_text(PRESET)
    ways = [{"lora_type": "LoCon", **SMALL, "preset": str(preset)}]
    ways += [ways[0] | {"train_norm": True, "use_tucker": True}]
    assert differences(make_tiny(name, tmp_path / name), ways) == {}


@pytest.mark.parametrize("name", ["sd15", "sdxl", "flux-dev", "sd3"])
def test_a_single_file_has_the_same_layers_as_a_folder(tmp_path, name):
    folder = settings_for(make_tiny(name, tmp_path / name))
    single = settings_for(make_tiny_file(f"tiny-{name}.safetensors", tmp_path))
    whole, file = (base_model_facts(dict(config)) for config in (folder, single))
    assert whole is not None
    assert file is not None
    in_file, in_folder = (set(facts.layers) for facts in (file, whole))
    components = {layer.component for layer in in_file}  # Flux' own file holds no text encoder
    assert in_file == {layer for layer in in_folder if layer.component in components}
    assert "unet" in components


@pytest.mark.parametrize(
    ("size", "wanted", "found"),
    [(128, -1, (8, 16)), (128, 64, (2, 64)), (250, 4, (2, 125)), (360, 16, (15, 24)), (127, 8, (1, 127))],
)
def test_a_size_is_divided_as_lycoris_divides_it(size, wanted, found):
    assert factors(size, wanted) == found
