"""What a run saves under diffusers' names, loaded by diffusers' pipelines: every layer answers as trained."""

from pathlib import Path

import pytest
import torch
from adapter_files import quiet
from diffusers import DiffusionPipeline
from torch import nn

from lora_widgets.lora_files import tools
from lora_widgets.training.start import iter_training

tuners_utils = pytest.importorskip("peft.tuners.tuners_utils")
SLOW = [
    pytest.param(family, lora_type, marks=pytest.mark.slow)
    for family, lora_type in (("SD1.5", "DoRA"), ("SDXL", "DoRA"), ("Flux", "DoRA"), ("SD3", "LoRA"))
]
PARTS = ("unet", "transformer", "text_encoder", "text_encoder_2")


def question(layer):
    """Return a random input for a layer."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(layer, nn.Conv2d):
        return torch.randn(2, layer.in_channels, 7, 7, generator=generator)
    return torch.randn(2, layer.in_features, generator=generator)


@pytest.mark.parametrize(("family", "lora_type"), [("Flux", "LoRA"), ("SD3", "DoRA"), *SLOW])
@pytest.mark.filterwarnings("ignore")  # diffusers and peft warn about their own futures while loading
@torch.no_grad()
def test_layers_of_a_pipeline_answer_as_those_of_the_merged_model(config_of, tmp_path, family, lora_type):
    rates = {"unet_lr": 0.02, "text_encoder_lr": 0.02, "max_train_steps": 2}
    one_rank = {
        "conv_dim": 4,
        "conv_alpha": 4,
    }  # diffusers before 0.40 scales layers of several ranks wrongly
    config = config_of(family, lora_type=lora_type, save_dialect="diffusers", **one_rank, **rates)
    with torch.enable_grad():
        list(iter_training(config))
    file = Path(config.output_dir) / f"{config.file_stem}.safetensors"
    base, merged = Path(config.pretrained_model_name_or_path), tmp_path / "merged"
    tools.merge_into_model(base, [(file, 1.0)], merged, precision=None, progress=quiet)

    loaded, wanted, before = (DiffusionPipeline.from_pretrained(path) for path in (base, merged, base))
    loaded.load_lora_weights(str(file.parent), weight_name=file.name)
    parts = [part for part in PARTS if getattr(loaded, part, None) is not None]
    effects: list[float] = []
    for part in parts:
        modules = dict(getattr(loaded, part).named_modules())
        adapted = {n: m for n, m in modules.items() if isinstance(m, tuners_utils.BaseTunerLayer)}
        assert adapted or (family, part) == ("Flux", "text_encoder_2")  # T5 learns only when asked to
        for name, layer in adapted.items():
            asked = question(layer.get_base_layer())
            answer = getattr(wanted, part).get_submodule(name)(asked)
            size = answer.abs().max().clamp_min(1.0)
            assert (layer(asked) - answer).abs().max() <= 1e-5 * size, f"{part}.{name}"
            plain = getattr(before, part).get_submodule(name)(asked)
            effects.append(float((plain - answer).abs().max() / size))
    assert sum(effect > 1e-3 for effect in effects) > len(effects) / 2  # the last of CLIP learn nothing
