"""Flux and SD3 from files: the same numbers as from the folder, text encoders of one's own, lost tensors."""

from types import SimpleNamespace

import pytest
import torch
from same_model import assert_same_model, loaded
from tiny import module_of

from lora_widgets.errors import ModelError
from lora_widgets.families.family import open_family

MODEL = "pretrained_model_name_or_path"


@pytest.mark.parametrize(
    ("family", "name"),
    [("Flux", "flux-dev"), ("Flux", "flux-schnell"), ("SD3", "sd3"), ("SD3", "sd35m")],
)
def test_files_compute_what_the_folder_computes_bit_by_bit(open_transformer, files, folders, family, name):
    length = {"t5xxl_max_token_length": None}  # schnell's own is shorter
    found = loaded(open_transformer(family, as_files=True, **{MODEL: files[f"tiny-{name}"]}, **length))
    same = loaded(open_transformer(family, **{MODEL: folders[name]}, **length))
    assert_same_model(found, same)
    own = {"ss_sd_model_name": f"tiny-{name}.safetensors"}
    own |= {"ss_vae_name": "tiny-flux-ae.safetensors"} if family == "Flux" else {}
    assert found.identity() == same.identity() | own
    assert found.weights_file.name == f"tiny-{name}.safetensors"


@pytest.mark.parametrize(
    ("family", "setting", "file", "part"),
    [
        ("Flux", "clip_l_path", "tiny-clip_l", "clip_l"),
        ("Flux", "t5xxl_path", "tiny-t5xxl", "t5"),
        ("SD3", "clip_l_path", "tiny-sd3-clip_l", "clip_l"),
        ("SD3", "clip_g_path", "tiny-sd3-clip_g", "clip_g"),
        ("SD3", "t5xxl_path", "tiny-t5xxl", "t5"),
    ],
)
def test_a_file_replaces_the_text_encoder_of_a_folder(open_transformer, changed, family, setting, file, part):
    path = changed(file, lambda tensors: {name: tensor + 1 for name, tensor in tensors.items()})
    own, other = open_transformer(family), open_transformer(family, **{setting: path})
    for opened in (own, other):
        opened.text.load("cpu", torch.float32)
    mine, added = module_of(own, part).parameters(), module_of(other, part).parameters()
    for ours, theirs in zip(added, mine, strict=True):
        assert torch.equal(ours, theirs + 1)


@pytest.mark.parametrize(
    ("family", "file", "lost"),
    [
        ("Flux", "tiny-flux-dev", "single_blocks.0.linear2.bias"),
        ("SD3", "tiny-sd3", "model.diffusion_model.joint_blocks.1.x_block.mlp.fc2.bias"),
    ],
)
def test_a_missing_tensor_is_named(open_transformer, changed, family, file, lost):
    path = changed(file, lambda tensors: {name: t for name, t in tensors.items() if name != lost})
    with pytest.raises(ModelError, match="The transformer in `pretrained_model_name_or_path`") as caught:
        open_transformer(family, as_files=True, **{MODEL: path})
    assert lost.removeprefix("model.diffusion_model.") in str(caught.value)


@pytest.mark.parametrize(
    ("file", "model_type", "words"),
    [
        ("tiny-flux-dev", "SD1.5", r"which is a Flux model \(dev\), but `model_type` is SD1.5"),
        ("tiny-sd35m", "SDXL", r"is a SD3.5 model, but `model_type` is SDXL.* `model_type` to SD3"),
    ],
)
def test_other_families_are_told_which_model_it_is(files, file, model_type, words):
    settings = SimpleNamespace(model_type=model_type, **{MODEL: str(files[file])})
    with pytest.raises(ModelError, match=words):
        open_family(settings)
