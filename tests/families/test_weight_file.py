"""Opening single weight files: every kind of wrong file is named, with the remedy, and none runs code."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_widgets.errors import ModelError
from lora_widgets.families.weight_file import find_weight_file

MODEL = "pretrained_model_name_or_path"
CLIP = "text_model.encoder.layers.0.self_attn.q_proj.weight"
T5 = "encoder.block.0.layer.0.SelfAttention.k.weight"
FILES = {
    "LoRA": {"lora_unet_mid_block.lora_down.weight": (4, 9)},
    "T5": {T5: (4, 9)},
    "CLIP": {CLIP: (768, 768)},
    "VAE": {"decoder.conv_in.weight": (8, 4, 3, 3)},
    "VAE-16": {"decoder.conv_in.weight": (8, 16, 3, 3)},
    "denoiser": {"transformer_blocks.0.attn.to_q.weight": (8, 8)},
    "SDXL": {
        "model.diffusion_model.input_blocks.0.0.weight": (16, 4, 3, 3),
        "model.diffusion_model.output_blocks.0.0.weight": (1,),
        "model.diffusion_model.label_emb.0.0.weight": (8, 2816),
    },
    "Flux": {"double_blocks.0.img_attn.norm.key_norm.scale": (8,), "img_in.weight": (8, 64)},
    "unknown": {"weight": (3,)},
}


@pytest.fixture
def file_of(tmp_path):
    """Write a small file of some kind, as .safetensors or .ckpt."""

    def write(kind, suffix=".safetensors"):
        tensors = {name: torch.zeros(shape) for name, shape in FILES[kind].items()}
        path = tmp_path / f"{kind}{suffix}"
        if suffix == ".safetensors":
            save_file(tensors, path)
        else:
            torch.save({"state_dict": tensors}, path)
        return str(path)

    return write


def refuses(open_tiny, *words, **changes):
    with pytest.raises(ModelError) as caught:
        open_tiny(**changes)
    for word in (*words, *changes):
        assert word in str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("LoRA", ("which is a LoRA or another adapter, not a base model", "set `continue_from_lora` to it")),
        ("T5", ("which is a T5 text encoder, not a base model", "Choose a SD1.5 model")),
        ("VAE", ("which is a VAE with 4 latent channels, not a base model", "set `vae_path` to it")),
        (
            "denoiser",
            ("which is the denoiser of a diffusers folder", "whole folder that holds model_index"),
        ),
        ("SDXL", ("which is a SDXL model, but `model_type` is SD1.5", "Choose a SD1.5 model")),
        ("Flux", ("which is a Flux model (schnell), but `model_type` is SD1.5",)),
        ("unknown", ("which is a file of another kind, not a base model",)),
    ],
)
def test_a_file_that_is_no_sd15_is_named_for_what_it_is(open_tiny, file_of, suffix, kind, words):
    refuses(open_tiny, *words, **{MODEL: file_of(kind, suffix)})


@pytest.mark.parametrize(
    "name", ["x.scale_weight", "model.diffusion_model.scaled_fp8", "x.comfy_quant", "x.weight.absmax"]
)
def test_weights_that_need_scales_are_refused(open_tiny, single_file, tmp_path, name):
    """Without their scales the numbers of ComfyUI's fp8 files load well and mean nothing."""
    save_file(load_file(single_file) | {name: torch.ones(1)}, tmp_path / "scaled.safetensors")
    words = ("quantised with scales of their own", "in bf16, fp16 or plain fp8")
    refuses(open_tiny, *words, **{MODEL: str(tmp_path / "scaled.safetensors")})


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("LoRA", "which is a LoRA or another adapter, but a VAE belongs there"),
        ("CLIP", "which is a CLIP-L text encoder, but a VAE belongs there"),
        ("SDXL", "which is a SDXL model, but a VAE belongs there"),
        ("VAE-16", "which is a VAE with 16 latent channels, but `model_type` is SD1.5"),
    ],
)
def test_a_file_that_is_no_vae_of_sd15_is_named_for_what_it_is(open_tiny, file_of, kind, words):
    refuses(open_tiny, words, "Choose", vae_path=file_of(kind))


def test_a_file_of_another_ending_is_refused(open_tiny, tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    refuses(open_tiny, "quantised for GGUF", "bf16, fp16", **{MODEL: str(tmp_path / "model.gguf")})
    (tmp_path / "model.zip").write_bytes(b"PK")
    refuses(open_tiny, "end with .safetensors or .ckpt", **{MODEL: str(tmp_path / "model.zip")})


def test_a_truncated_file_is_refused(open_tiny, single_file, tmp_path):
    path = tmp_path / "short.safetensors"
    path.write_bytes(single_file.read_bytes()[:1_000_000])
    refuses(open_tiny, "incomplete or damaged: it has 1,000,000 bytes", **{MODEL: str(path)})


class Bomb:
    def __reduce__(self):
        return os.mkdir, (Bomb.target,)


@pytest.mark.parametrize("is_old", [False, True], ids=["zip", "before torch 1.6"])
def test_a_pickle_with_code_is_refused_and_its_code_does_not_run(open_tiny, tmp_path, is_old):
    Bomb.target = str(tmp_path / "it-ran")
    path = tmp_path / "bomb.ckpt"
    content = {"state_dict": {"weight": torch.zeros(2)}, "callbacks": Bomb()}
    torch.save(content, path, _use_new_zipfile_serialization=not is_old)
    refuses(
        open_tiny, "holds more than weights (posix.mkdir)", "Use a .safetensors file", **{MODEL: str(path)}
    )
    assert not Path(Bomb.target).exists()


@pytest.mark.parametrize("content", [b"", b"no pickle", b"PK\x03\x04 no zip", pickle.dumps({"a": 1}, 2)])
def test_a_damaged_pickle_is_refused(open_tiny, tmp_path, content):
    (tmp_path / "damaged.ckpt").write_bytes(content)
    refuses(open_tiny, **{MODEL: str(tmp_path / "damaged.ckpt")})


def test_a_truncated_ckpt_is_refused(open_tiny, file_of):
    path = Path(file_of("VAE", ".ckpt"))
    path.write_bytes(path.read_bytes()[:-200])
    refuses(open_tiny, "damaged or no weight file", "download it again", **{MODEL: str(path)})


def test_numbers_of_numpy_beside_the_weights_do_no_harm(tmp_path):
    content = {"state_dict": {"w": torch.ones(2)}, "best_loss": np.float64(0.5), "epoch": np.int64(3)}
    torch.save(content, tmp_path / "x.ckpt")
    file = find_weight_file(MODEL, str(tmp_path / "x.ckpt"))
    assert dict(file.shapes) == {"w": (2,)}


def test_an_unreadable_file_names_the_reason(file_of, monkeypatch):
    path = file_of("VAE", ".ckpt")

    def deny(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", deny)
    with pytest.raises(ModelError, match=r"`vae_path` is .* cannot be read: Permission denied. Check"):
        find_weight_file("vae_path", path)


def test_names_that_the_first_trainers_left_in_a_ckpt_do_no_harm(tmp_path):
    """Their callback classes stand beside the weights, and may not be installed here."""
    path = tmp_path / "old.ckpt"
    torch.save({"state_dict": {"w": torch.arange(3.0)}, "callbacks": {"CLASS": 1}}, path)
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    name = next(name for name in parts if name.endswith("data.pkl"))
    word = b"X\x05\x00\x00\x00CLASS"
    assert word in parts[name]
    module = b"cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n"
    parts[name] = parts[name].replace(word, module)
    with zipfile.ZipFile(path, "w") as new:
        for part, data in parts.items():
            new.writestr(part, data)
    file = find_weight_file(MODEL, str(path))
    assert dict(file.shapes) == {"w": (3,)}
    assert dict(file.read(["w"]))["w"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.int64, torch.bool]
)
def test_every_number_format_is_read_as_it_is_stored(tmp_path, dtype):
    tensors = {
        "b": torch.arange(6).reshape(2, 3).to(dtype),
        "a": torch.tensor(1).to(dtype),
        "none": torch.zeros(0, 2).to(dtype),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    file = find_weight_file(MODEL, str(tmp_path / "x.safetensors"))
    read = dict(file.read(tensors))
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == dtype
        assert torch.equal(read[name].float(), tensor.float())


def test_tensors_come_in_the_order_of_the_file(single_file):
    file = find_weight_file(MODEL, str(single_file))
    names = list(file.shapes)[::-1][:40]
    assert file.header is not None
    begins = [file.header.places[name].begin for name, _ in file.read(names)]
    assert begins == sorted(begins)


def test_a_number_format_that_is_not_known_is_named(tmp_path):
    header = b'{"w":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}'
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    file = find_weight_file(MODEL, str(tmp_path / "x.safetensors"))
    with pytest.raises(ModelError, match=r"whose w is stored as F4.*Use a file in fp16, bf16 or fp32"):
        list(file.read(["w"]))


@pytest.mark.parametrize("value", ["", "owner/name", "/nowhere/x.safetensors", "a\0b", "x" * 5000])
def test_what_is_no_file_is_none(value):
    assert find_weight_file(MODEL, value) is None
