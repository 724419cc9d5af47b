"""Flux from single files: one that holds everything, T5's two names, and what can be wrong."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from same_model import assert_same_model, loaded

from lora_widgets.errors import ModelError
from lora_widgets.families.native_names import flux_transformer

MODEL = "pretrained_model_name_or_path"
OWN_FILES = ("vae_path", "clip_l_path", "t5xxl_path")


@pytest.fixture
def open_flux_file(open_transformer):
    """Open the single file with the parts beside it, and changed settings."""
    return lambda **changes: open_transformer("Flux", as_files=True, **changes)


def test_one_file_can_hold_everything(open_flux_file, open_transformer, files, tmp_path):
    starts = {
        "tiny-flux-dev": "model.diffusion_model.",
        "tiny-flux-ae": "vae.",
        "tiny-clip_l": "text_encoders.clip_l.transformer.",
        "tiny-t5xxl": "text_encoders.t5xxl.transformer.",
    }
    tensors = {
        start + name: tensor
        for file, start in starts.items()
        for name, tensor in load_file(files[file]).items()
    }
    save_file(tensors, tmp_path / "whole.safetensors")
    family = open_flux_file(
        **{MODEL: str(tmp_path / "whole.safetensors")}, **dict.fromkeys(OWN_FILES), guidance_scale=1.0
    )
    assert_same_model(loaded(family), loaded(open_transformer("Flux")))
    assert "ss_vae_name" not in family.identity()


def test_the_two_names_of_t5s_embedding_stay_one_tensor(open_flux_file):
    family = open_flux_file()
    family.text.load("cpu", torch.bfloat16)
    t5 = family.t5.encoder.model
    assert t5.shared.weight is t5.encoder.embed_tokens.weight


def test_the_split_of_the_real_model_is_that_of_its_publisher():
    shapes = {name: shape for name, shape in real_shapes().items() if not name.startswith("guidance_in.")}
    places = flux_transformer(shapes, {})
    assert places["single_transformer_blocks.0.proj_mlp.weight"].shape == (12288, 3072)
    assert places["single_transformer_blocks.0.attn.to_v.bias"].shape == (3072,)


def real_shapes():
    """Return the names and shapes of a Flux of full width with one block of each kind."""
    width, mlp = 3072, 12288
    linear = {
        **{f"{name}_in.in_layer": (width, inputs) for name, inputs in (("time", 256), ("vector", 768))},
        **{f"{name}_in.out_layer": (width, width) for name in ("time", "vector")},
        "txt_in": (width, 4096),
        "img_in": (width, 64),
        "single_blocks.0.linear1": (3 * width + mlp, width),
        "single_blocks.0.linear2": (width, width + mlp),
        "single_blocks.0.modulation.lin": (3 * width, width),
        "final_layer.linear": (64, width),
        "final_layer.adaLN_modulation.1": (2 * width, width),
    }
    norms = {f"single_blocks.0.norm.{name}_norm.scale": (128,) for name in ("query", "key")}
    for stream in ("img", "txt"):
        start = f"double_blocks.0.{stream}"
        linear |= {
            f"{start}_mod.lin": (6 * width, width),
            f"{start}_attn.qkv": (3 * width, width),
            f"{start}_attn.proj": (width, width),
            f"{start}_mlp.0": (mlp, width),
            f"{start}_mlp.2": (width, mlp),
        }
        norms |= {f"{start}_attn.norm.{name}_norm.scale": (128,) for name in ("query", "key")}
    return {
        **norms,
        **{f"{name}.weight": shape for name, shape in linear.items()},
        **{f"{name}.bias": shape[:1] for name, shape in linear.items()},
    }


def test_a_folder_in_place_of_a_text_encoders_file_is_refused(open_flux_file, tiny_flux):
    for value, words in (("text_encoder_2", "a folder"), ("x.safetensors", "but nothing is there")):
        with pytest.raises(ModelError, match=f"`t5xxl_path` is .*, {words}. Set it to a .safetensors file"):
            open_flux_file(t5xxl_path=str(tiny_flux / value))


@pytest.mark.parametrize(("setting", "name"), [(MODEL, "tiny-flux-dev"), ("t5xxl_path", "tiny-t5xxl")])
def test_weights_with_scales_of_their_own_are_refused(open_flux_file, changed, setting, name):
    path = changed(name, lambda tensors: {**tensors, "a.scale_weight": torch.ones(1)})
    with pytest.raises(ModelError, match="quantised with scales of their own"):
        open_flux_file(**{setting: path})


def test_a_model_of_another_size_asks_for_its_configuration(open_flux_file):
    with pytest.raises(ModelError, match=r"is 64 wide; .* says 3072. Set `model_config_path`"):
        open_flux_file(model_config_path=None)


def test_offline_files_say_which_tokenizers_to_download(open_flux_file, tiny_flux):
    with pytest.raises(ModelError, match="hf download openai/clip-vit-large-patch14"):
        open_flux_file(tokenizer_path=None)
    with pytest.raises(ModelError) as caught:
        open_flux_file(tokenizer_path=str(tiny_flux / "tokenizer"))
    assert "`hf download google-t5/t5-small tokenizer.json tokenizer_config.json " in str(caught.value)
    assert "--local-dir tokenizer_2`, and copy the folder tokenizer_2 into that of `tokenizer_path`" in str(
        caught.value
    )


def test_tokenizers_come_from_the_hub_once(open_flux_file, tiny_flux, monkeypatch):
    asked = []

    def download(name, *, allow_patterns, ignore_patterns, tqdm_class):
        asked.append(name)
        return str(tiny_flux / ("tokenizer_2" if "t5" in name else "tokenizer"))

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    family = open_flux_file(tokenizer_path=None)
    family.text.load("cpu", torch.float32)
    assert asked == ["openai/clip-vit-large-patch14", "google-t5/t5-small"]
    assert family.encode_text(["a cat"], skip=1).hidden.shape == (1, 64, 96)
