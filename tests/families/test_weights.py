"""Everything that can be wrong with a model's path is told, with the remedy, before weights are loaded."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_widgets.errors import ModelError
from lora_widgets.families import filling

MODEL = "pretrained_model_name_or_path"


def edited(folder, file, *replacements):
    text = (folder / file).read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    (folder / file).write_text(text)
    return folder


@pytest.fixture
def copy(tiny_sd15, tmp_path):
    """Return a copy of the tiny model that a test may break."""
    return shutil.copytree(tiny_sd15, tmp_path / "model")


def refuses(open_tiny, *words, **changes):
    with pytest.raises(ModelError) as caught:
        open_tiny(**{name: str(value) for name, value in changes.items()})
    for word in (*words, *changes):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "value", ["/nowhere/model", "model.safetensors", "folder/model.safetensors", "a b/c"]
)
def test_a_path_where_nothing_is_names_the_setting_and_what_to_give(open_tiny, value):
    refuses(open_tiny, "nothing is there", "diffusers layout", "demo", **{MODEL: value})


@pytest.mark.parametrize("file", ["model_index.json", "unet/config.json"])
def test_a_folder_that_is_no_model_says_what_is_missing(open_tiny, copy, file):
    (copy / file).unlink()
    refuses(open_tiny, f"no {file}", "Set it to the folder", **{MODEL: copy})


def test_a_model_without_an_autoencoder_says_how_to_give_one(open_tiny, copy):
    shutil.rmtree(copy / "vae")
    refuses(open_tiny, "vae/config.json", "vae_path", **{MODEL: copy})


@pytest.mark.parametrize(
    ("pipeline", "family"),
    [
        *(("StableDiffusionXLPipeline", "SDXL"), ("StableDiffusion3Pipeline", "SD3")),
        *(("FluxPipeline", "Flux"), ("KolorsPipeline", "Kolors")),
    ],
)
def test_another_familys_pipeline_is_refused_by_its_name(open_tiny, copy, pipeline, family):
    edited(copy, "model_index.json", ("StableDiffusionPipeline", pipeline))
    refuses(open_tiny, f"a {family} model", "model_type", **{MODEL: copy})


def test_an_sdxl_unet_is_recognised_without_the_pipelines_name(open_tiny, copy):
    edited(copy, "unet/config.json", ('"addition_embed_type": null', '"addition_embed_type": "text_time"'))
    refuses(open_tiny, "a SDXL model", **{MODEL: copy})


def test_a_stable_diffusion_2_unet_is_refused(open_tiny, copy):
    edited(copy, "unet/config.json", ('"cross_attention_dim": 32', '"cross_attention_dim": 1024'))
    refuses(open_tiny, "a Stable Diffusion 2 model", **{MODEL: copy})


def test_an_inpainting_model_is_refused(open_tiny, copy):
    edited(copy, "unet/config.json", ('"in_channels": 4', '"in_channels": 9'))
    refuses(open_tiny, "9 channels", "inpainting", **{MODEL: copy})


def test_a_damaged_config_file_is_named(open_tiny, copy):
    (copy / "unet" / "config.json").write_text('{"_class_name": ')
    refuses(open_tiny, "unet/config.json", "damaged", **{MODEL: copy})


def test_a_configuration_that_gives_no_model_is_named(open_tiny, copy):
    edited(copy, "text_encoder/config.json", ('"hidden_size": 32', '"hidden_size": "x"'))
    refuses(open_tiny, "The text_encoder of the model", "hidden_size", **{MODEL: copy})


def test_a_hub_name_without_internet_says_what_to_download_and_where_to_put_it(open_tiny, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    refuses(open_tiny, "hf download nobody/no-model", "--local-dir", **{MODEL: "nobody/no-model"})


def test_an_autoencoder_that_is_no_folder_or_of_another_family_is_refused(open_tiny, copy, tmp_path):
    refuses(open_tiny, "nothing is there", "a .safetensors file or", vae_path=tmp_path / "x.safetensors")
    refuses(open_tiny, "no autoencoder's config.json", vae_path=copy / "tokenizer")
    refuses(open_tiny, "of the class UNet2DConditionModel", vae_path=copy / "unet")
    refuses(open_tiny, "of the class CLIPTextModel", vae_path=copy / "text_encoder")
    edited(copy, "vae/config.json", ('"latent_channels": 4', '"latent_channels": 16'))
    refuses(open_tiny, "16 latent channels", vae_path=copy / "vae")


def test_missing_weights_are_reported_with_the_part(open_tiny, copy):
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelError, match="The unet of the model in `pretrained_model_name_or_path`"):
        open_tiny(pretrained_model_name_or_path=str(copy))


def test_weights_that_vanish_later_are_reported_without_the_librarys_words(open_tiny, copy, capfd):
    family = open_tiny(pretrained_model_name_or_path=str(copy))
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"The unet of the model .* has no weights"):
        family.load_denoiser("cpu", torch.float32)
    assert capfd.readouterr() == ("", "")


def test_truncated_weights_are_reported_with_the_part(open_tiny, copy):
    file = copy / "text_encoder" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match="The text_encoder of the model"):
        open_tiny(pretrained_model_name_or_path=str(copy))


def test_a_missing_tokenizer_is_reported(open_tiny, copy):
    shutil.rmtree(copy / "tokenizer")
    family = open_tiny(pretrained_model_name_or_path=str(copy))
    with pytest.raises(ModelError, match="The tokenizer of the model"):
        family.text.load("cpu", torch.float32)


def test_a_folder_with_half_precision_files_only_loads(open_tiny, copy):
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    halves = {name: tensor.half() for name, tensor in load_file(file).items()}
    save_file(halves, file.with_name("diffusion_pytorch_model.fp16.safetensors"), metadata={"format": "pt"})
    file.unlink()
    family = open_tiny(pretrained_model_name_or_path=str(copy))
    family.load_denoiser("cpu", torch.float32)
    assert family.unet.dtype == torch.float32


def in_two(file, tensors, variant):
    """Write tensors as two files and their index, as large models are stored."""
    names = [f"{file.stem}{variant}-0000{number}-of-00002.safetensors" for number in (1, 2)]
    keys = sorted(tensors)
    for name, some in zip(names, (keys[::2], keys[1::2]), strict=True):
        save_file({key: tensors[key] for key in some}, file.with_name(name), metadata={"format": "pt"})
    index = {"weight_map": {key: names[at % 2] for at, key in enumerate(keys)}}
    end = f".index{variant}.json"
    file.with_name(file.name + end).write_text(json.dumps(index))
    return [file.with_name(name) for name in names]


def test_full_precision_in_several_files_is_read_where_half_precision_is_beside_it(open_tiny, copy):
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    file.unlink()
    in_two(file, tensors, "")
    in_two(file, {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}, ".fp16")
    family = open_tiny(pretrained_model_name_or_path=str(copy))
    family.load_denoiser("cpu", torch.float32)
    assert torch.equal(family.unet.conv_in.weight, tensors["conv_in.weight"])


def test_half_precision_in_several_files_needs_only_its_own_index(open_tiny, copy):
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    for whole in (file, *in_two(file, tensors, "")):
        whole.unlink()
    _, second = in_two(file, tensors, ".fp16")
    open_tiny(pretrained_model_name_or_path=str(copy)).load_denoiser("cpu", torch.float32)
    second.unlink()
    refuses(open_tiny, f"index.fp16.json names {second.name}", pretrained_model_name_or_path=copy)


def as_pickles(folder):
    """Replace all weights of a folder by .bin files."""
    for file in list(folder.rglob("*.safetensors")):
        name = "pytorch_model" if file.stem == "model" else file.stem
        torch.save(load_file(file), file.with_name(f"{name}.bin"))
        file.unlink()


def test_a_folder_of_pickles_loads_without_a_word(open_tiny, copy, capfd):
    as_pickles(copy)
    family, own = open_tiny(pretrained_model_name_or_path=str(copy)), open_tiny()
    for one in (family, own):
        one.load_denoiser("cpu", torch.float32)
        one.text.load("cpu", torch.float32)
    assert torch.equal(family.unet.conv_in.weight, own.unet.conv_in.weight)
    assert capfd.readouterr() == ("", "")


def test_a_pickle_with_code_in_a_folder_is_refused_for_what_it_is(open_tiny, copy):
    as_pickles(copy)
    torch.save({"x": Path("home")}, copy / "unet" / "diffusion_pytorch_model.bin")
    refuses(open_tiny, "The unet of the model", "holds more than weights", pretrained_model_name_or_path=copy)


def test_scaled_weights_in_a_folder_are_refused(open_tiny, copy):
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(load_file(file) | {"conv_in.scale_weight": torch.ones(1)}, file, metadata={"format": "pt"})
    refuses(open_tiny, "The unet of the model", "quantised with", pretrained_model_name_or_path=copy)


def test_loading_prints_nothing_and_leaves_progress_bars_as_they_were(open_tiny, capfd):
    from transformers.utils import logging

    logging.enable_progress_bar()
    open_tiny().text.load("cpu", torch.float32)
    assert logging.is_progress_bar_enabled()
    captured = capfd.readouterr()
    assert "%" not in captured.out + captured.err


def test_room_is_given_back_while_a_part_is_filled(open_tiny, monkeypatch):
    given_back = []
    monkeypatch.setattr(filling, "give_back_pages", lambda: given_back.append(1))
    monkeypatch.setattr(filling, "_GIVE_BACK_EVERY", 100_000)
    family = open_tiny()
    family.load_denoiser("cpu", torch.float32)
    size = sum(p.nbytes for p in family.unet.parameters())
    assert 2 < len(given_back) <= size / 100_000 + 1
