"""How many numbers an adapter trains, by the headers of files, is what adapters have that are made."""

import pytest
import torch
from tiny import make_tiny, make_tiny_file, settings_for

from lora_widgets.adapters.attach import attach
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


def differences(model, ways):
    """Return the ways in which the count is not that of the adapter, with both."""
    family = open_family(settings_for(model))
    family.text.load("cpu", torch.float32)
    family.load_denoiser("cpu", torch.float32)
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


@pytest.mark.parametrize("name", ["sd15", "sdxl", "flux-dev", "sd3"])
def test_a_single_file_has_the_same_layers_as_a_folder(tmp_path, name):
    folder = settings_for(make_tiny(name, tmp_path / name))
    single = settings_for(make_tiny_file(f"tiny-{name}.safetensors", tmp_path))
    whole, file = (base_model_facts(dict(config)) for config in (folder, single))
    assert whole is not None
    assert file is not None
    in_file, in_folder = ({layer for layer in facts.layers if layer.blocks} for facts in (file, whole))
    components = {layer.component for layer in in_file}  # Flux' own file holds no text encoder
    assert in_file == {layer for layer in in_folder if layer.component in components}
    assert "unet" in components


@pytest.mark.parametrize(
    ("size", "wanted", "found"),
    [(128, -1, (8, 16)), (128, 64, (2, 64)), (250, 4, (2, 125)), (360, 16, (15, 24)), (127, 8, (1, 127))],
)
def test_a_size_is_divided_as_lycoris_divides_it(size, wanted, found):
    assert factors(size, wanted) == found
