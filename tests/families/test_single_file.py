"""SD1.5 and SDXL from single files: the same numbers as from the folder, and what can be wrong."""

import json
import shutil
import weakref

import pytest
import torch
from safetensors.torch import load_file, save_file
from same_model import PARTS, assert_same_model, loaded
from tiny import module_of

from lora_widgets.errors import ModelError

MODEL = "pretrained_model_name_or_path"


@pytest.fixture
def changed(single_file, tmp_path):
    """Save the single file with some tensors changed, or left out where a function returns None for them."""

    def save(change, **metadata):
        tensors = load_file(single_file)
        kept = {name: change(name, tensor) for name, tensor in tensors.items()}
        path = tmp_path / "changed.safetensors"
        save_file({name: tensor for name, tensor in kept.items() if tensor is not None}, path, **metadata)
        return str(path)

    return save


def without(start):
    return lambda name, tensor: None if name.startswith(start) else tensor


def test_a_single_file_computes_what_the_folder_computes_bit_by_bit(open_file, open_tiny):
    assert_same_model(loaded(open_file()), loaded(open_tiny()))


def test_so_does_one_of_sdxl_with_its_second_text_encoder_in_another_layout(open_sdxl_file, open_tiny_sdxl):
    assert_same_model(loaded(open_sdxl_file()), loaded(open_tiny_sdxl()))


@pytest.mark.parametrize(("keys", "prediction"), [((), "epsilon"), (("v_pred", "ztsnr"), "v_prediction")])
def test_empty_tensors_that_mark_a_model_of_v_are_believed(
    open_sdxl_file, sdxl_file, tmp_path, keys, prediction
):
    marks = {key: torch.zeros(()) for key in keys}
    save_file(load_file(sdxl_file) | marks, tmp_path / "v.safetensors")
    family = open_sdxl_file(pretrained_model_name_or_path=str(tmp_path / "v.safetensors"))
    assert family.process.prediction == prediction
    assert any("zero terminal" in note for note in family.notes) == ("ztsnr" in keys)


def test_an_older_ckpt_computes_the_same(open_file, single_file, tmp_path):
    path = tmp_path / "tiny.ckpt"
    content = {"epoch": 3, "global_step": 5, "callbacks": {}, "state_dict": load_file(single_file)}
    torch.save(content, path)
    assert_same_model(loaded(open_file(pretrained_model_name_or_path=str(path))), loaded(open_file()))


def test_parts_have_the_type_asked_for_and_are_frozen(open_file):
    family = loaded(open_file(no_half_vae=False), torch.bfloat16)
    for part in PARTS["SD1.5"]:
        module = module_of(family, part)
        assert {p.dtype for p in module.parameters()} == {torch.bfloat16}
        assert not module.training
        assert not any(p.requires_grad for p in module.parameters())
        assert not any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers()))


def test_halves_in_the_file_become_what_is_asked_for(open_file, changed):
    path = changed(lambda _, tensor: tensor.half())
    family = open_file(pretrained_model_name_or_path=path)
    family.load_denoiser("cpu", torch.float32)
    assert family.unet.dtype == torch.float32


def test_a_single_file_names_itself_in_metadata(open_file, single_file):
    family = open_file()
    assert family.identity()["ss_sd_model_name"] == single_file.name
    assert "ss_vae_name" not in family.identity()
    assert family.weights_file == single_file


@pytest.mark.parametrize("layout", ["diffusers", "first diffusers", "LDM", "LDM of a model"])
def test_a_vae_in_a_file_of_its_own_computes_the_same(layout, tiny_sd15, single_file, open_tiny, tmp_path):
    if layout.startswith("LDM"):
        start = "first_stage_model."
        tensors = {k: v for k, v in load_file(single_file).items() if k.startswith(start)}
        if layout == "LDM":
            tensors = {k.removeprefix(start): v for k, v in tensors.items()}
    else:
        tensors = load_file(tiny_sd15 / "vae" / "diffusion_pytorch_model.safetensors")
        if layout.startswith("first"):
            for new, old in (
                ("to_q", "query"),
                ("to_k", "key"),
                ("to_v", "value"),
                ("to_out.0", "proj_attn"),
            ):
                tensors = {k.replace(f".{new}.", f".{old}."): v for k, v in tensors.items()}
    save_file(tensors, tmp_path / "my-vae.safetensors")
    family, own = open_tiny(vae_path=str(tmp_path / "my-vae.safetensors")), open_tiny()
    family.vae.load("cpu", torch.float32)
    own.vae.load("cpu", torch.float32)
    theirs = own.vae.model.state_dict()
    assert family.vae.model.state_dict().keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in family.vae.model.state_dict().items())
    assert family.identity()["ss_vae_name"] == "my-vae.safetensors"


def test_a_file_without_a_vae_takes_another(open_file, changed, tiny_sd15):
    path = changed(without("first_stage_model."))
    with pytest.raises(ModelError, match=r"holds no VAE. Set `vae_path` to an autoencoder made for SD1.5"):
        open_file(pretrained_model_name_or_path=path)
    family = open_file(pretrained_model_name_or_path=path, vae_path=str(tiny_sd15 / "vae"))
    family.vae.load("cpu", torch.float32)
    assert family.identity()["ss_vae_name"] == "vae"


@pytest.mark.parametrize(
    ("prefix", "words"),
    [("model.diffusion_model.", "holds no VAE and no text encoder"), ("", "holds the UNet alone")],
)
def test_a_unet_alone_is_no_model_that_only_lacks_a_vae(open_file, single_file, tmp_path, prefix, words):
    start, path = "model.diffusion_model.", tmp_path / "unet.safetensors"
    unet = {n: tensor for n, tensor in load_file(single_file).items() if n.startswith(start)}
    save_file({prefix + name.removeprefix(start): tensor for name, tensor in unet.items()}, path)
    with pytest.raises(ModelError, match=f"{words}. Use a complete SD1.5 model"):
        open_file(pretrained_model_name_or_path=str(path))


def test_a_file_says_nothing_of_what_it_predicts(open_sdxl_file, tiny_sdxl, tmp_path):
    """Most files of models that predict v do not say so; the user does, and is not contradicted."""
    parts = {file.parent.name: json.loads(file.read_text()) for file in tiny_sdxl.glob("*/config.json")}
    (tmp_path / "parts.json").write_text(json.dumps(parts))
    family = open_sdxl_file(model_config_path=str(tmp_path / "parts.json"), v_parameterization=True)
    assert family.process.prediction == "v_prediction"
    assert family.notes == ()


def test_a_file_without_a_text_encoder_is_refused(open_file, changed):
    with pytest.raises(ModelError, match=r"holds no text encoder. Use a complete SD1.5 model"):
        open_file(pretrained_model_name_or_path=changed(without("cond_stage_model.")))


def test_a_model_of_another_size_asks_for_its_configuration(open_file):
    with pytest.raises(ModelError, match=r"begins with 16 channels; .* says 320. Set `model_config_path`"):
        open_file(model_config_path=None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("model.diffusion_model.time_embed.0.bias"), "time_embedding.linear_1.bias is missing"),
        (
            lambda name, tensor: tensor[:9] if name.endswith("time_embed.0.bias") else tensor,
            "time_embed.0.bias is 9, not 64",
        ),
    ],
)
def test_a_missing_or_smaller_tensor_is_named_before_anything_is_read(
    open_file, changed, monkeypatch, change, words
):
    file = changed(lambda *args: _whole(change(*args)))
    monkeypatch.setattr("lora_widgets.families.weight_file._read", None)
    with pytest.raises(ModelError, match="The UNet in `pretrained_model_name_or_path`") as caught:
        open_file(pretrained_model_name_or_path=file)
    assert words in str(caught.value)
    assert "`model_config_path`" in str(caught.value)


def _whole(tensor):
    return None if tensor is None else tensor.contiguous()


@pytest.mark.parametrize(
    ("metadata", "prediction"),
    [({}, "epsilon"), ({"modelspec.prediction_type": "v"}, "v_prediction")],
)
def test_a_file_that_says_how_it_predicts_is_believed(open_file, changed, metadata, prediction):
    path = changed(lambda _, tensor: tensor, metadata=metadata)
    assert open_file(pretrained_model_name_or_path=path).process.prediction == prediction


def test_the_configuration_can_be_one_json_file(open_file, tiny_sd15, tmp_path):
    parts = {
        part: json.loads((tiny_sd15 / part / "config.json").read_text())
        for part in ("vae", "text_encoder", "unet")
    }
    (tmp_path / "tiny.json").write_text(json.dumps(parts))
    family = open_file(model_config_path=str(tmp_path / "tiny.json"))
    assert family.process.prediction == "epsilon"
    family.load_denoiser("cpu", torch.float32)


def test_a_file_changed_since_it_was_opened_is_told(open_file, single_file, tmp_path):
    path = shutil.copy(single_file, tmp_path / "copy.safetensors")
    family = open_file(pretrained_model_name_or_path=str(path))
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(ModelError, match="cannot be read any more: it has become shorter"):
        family.load_denoiser("cpu", torch.float32)


def test_loading_a_single_file_prints_nothing(open_file, capfd):
    loaded(open_file())
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_one_tensor_at_a_time_is_in_memory_beside_the_model(open_file, monkeypatch):
    from lora_widgets.families import weight_file

    read, storages, most = weight_file._read, [], 0

    def counted(*arguments):
        nonlocal most
        tensor = read(*arguments)
        storages.append(weakref.ref(tensor.untyped_storage()))
        most = max(most, sum(storage() is not None for storage in storages))
        return tensor

    monkeypatch.setattr(weight_file, "_read", counted)
    open_file(no_half_vae=False).load_denoiser("cpu", torch.bfloat16)
    assert len(storages) > 600
    assert most <= 2  # the one before is let go when the next has come
