"""Names and shapes of what is saved, against files of an independent trainer, for types and options."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from lora_widgets.families.family import Root
from lora_widgets.families.flux_names import flux_root
from lora_widgets.families.sd3_names import sd3_root

CASES = json.loads((Path(__file__).parents[1] / "golden" / "adapter_keys.json").read_text())["cases"]
NETWORKS = {"lora": "LoRA", "lora_flux": "LoRA", "lora_sd3": "LoRA", "dylora": "DyLoRA"}
ALGORITHMS = {
    **{"lora": "LoRA", "locon": "LoCon", "lokr": "LoKR", "loha": "LoHa", "ia3": "(IA)³", "glora": "GLoRA"},
    **{"full": "Native Fine-Tuning", "diag-oft": "Diag-OFT", "boft": "BOFT"},
}
CLIP = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SD3 = {
    **{"sample_size": 8, "num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 64},
    **{"joint_attention_dim": 96, "caption_projection_dim": 128, "pooled_projection_dim": 64},
}
FLUX = {
    **{"num_layers": 2, "num_single_layers": 3, "attention_head_dim": 16, "num_attention_heads": 4},
    **{"joint_attention_dim": 96, "pooled_projection_dim": 32, "axes_dims_rope": (4, 6, 6)},
}


def settings_of(case):
    """Return our settings for those of the other trainer."""
    arguments = {name: _value(text) for name, text in case["network_args"].items()}
    module = case["network_module"].partition(".")[2]
    kind = NETWORKS[module] if module in NETWORKS else ALGORITHMS[arguments.pop("algo")]
    if (kind == "LoRA" and "conv_dim" in arguments) or "conv_block_dims" in arguments:
        kind = "LoCon"
    if kind == "LoCon" and arguments.pop("dora_wd", False):
        kind = "DoRA"
    if kind == "(IA)³":
        arguments.setdefault("preset", "full")
    if "unit" in arguments:
        arguments |= {"block_size": arguments.pop("unit"), "preset": "attn-mlp"}
    sizes = {"network_dim": case["network_dim"], "network_alpha": float(case["network_alpha"])}
    convolutions = {"conv_dim": case["network_dim"], "conv_alpha": float(case["network_alpha"])}
    trains = {"trains_unet": case["train_unet"], "trains_text_encoder": case["train_text_encoder"]}
    return sizes | convolutions | trains | arguments | {"lora_type": kind}


def _value(text):
    if text in ("True", "False"):
        return text == "True"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


@pytest.fixture
def model_folder(request, case):
    """Return the folder of the model, where there is one."""
    folders = {"sd15": "tiny_sd15", "sdxl": "tiny_sdxl"}
    name = folders.get(case["family"])
    return request.getfixturevalue(name) if name else Path(case["family"])


@pytest.fixture
def family(case, model_folder, open_tiny):
    """Return the family that a test is about, its trainable parts loaded."""
    if case["family"] in ("sd15", "sdxl"):
        return open_tiny(model_folder)
    if case["family"] == "flux":
        roots = {"unet": flux_root(FluxTransformer2DModel(**FLUX))}
    else:
        dual = {"dual_attention_layers": (0,), "qk_norm": "rms_norm"} if case["family"] == "sd35m" else {}
        roots = {"unet": sd3_root(SD3Transformer2DModel(**SD3, **dual))}
        roots["text_encoder_2"] = Root(CLIPTextModelWithProjection(CLIPTextConfig(**CLIP)), "lora_te2")
    first = "text_encoder" if case["family"] == "flux" else "text_encoder_1"
    roots[first] = Root(CLIPTextModel(CLIPTextConfig(**CLIP)), "lora_te1")
    texts = [name for name in roots if name != "unet"]
    return SimpleNamespace(name=case["family"], text_encoders=texts, roots=lambda: roots)


def marked(case):
    """Return a case with its name; those of SDXL say little that those of SD1.5 do not, and take longer."""
    name = "-".join((case["family"], case["network_module"], *map(str, case["network_args"].values())))
    return pytest.param(case, id=name[:60], marks=pytest.mark.slow if case["family"] == "sdxl" else ())


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_names_and_shapes_are_those_of_the_reference(attached, case):
    tensors = attached(**settings_of(case)).tensors()
    lines = [f"{name} {tuple(tensor.shape)}" for name, tensor in sorted(tensors.items())]
    assert len(lines) == case["tensors"]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == case["sha256"], lines[:20]
