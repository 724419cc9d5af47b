"""Names in files, and reading files."""

import pytest
import torch
from safetensors.torch import save_file

from lora_widgets.adapters.keys import canonical_key, kohya_name, read_lora_file
from lora_widgets.errors import StateError


@pytest.mark.parametrize("path", ["encoder.layers.0.mlp.fc1", "text_model.encoder.layers.0.mlp.fc1"])
def test_text_encoder_names_are_the_same_on_every_version_of_transformers(path):
    assert kohya_name("lora_te", path) == "lora_te_text_model_encoder_layers_0_mlp_fc1"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("lora_te_encoder_layers_0_mlp_fc1.alpha", "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha"),
        (
            "unet.mid_block.attentions.0.proj_in.lora_A.weight",
            "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight",
        ),
        (
            "unet.a.attn1.to_out.0.lora_B.weight",
            "lora_unet_a_attn1_to_out_0.lora_up.weight",
        ),
        (
            "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_linear_layer.up.weight",
            "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight",
        ),
        ("lora_unet_x.lora_up.weight", "lora_unet_x.lora_up.weight"),
        ("something.else", "something.else"),
    ],
)
def test_names_of_other_programs_are_understood(theirs, ours):
    assert canonical_key(theirs) == ours


def test_a_safetensors_file_is_read_with_its_metadata(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors", metadata={"ss_network_dim": "4"})
    tensors, metadata = read_lora_file(tmp_path / "x.safetensors")
    assert torch.equal(tensors["a"], torch.ones(2))
    assert metadata == {"ss_network_dim": "4"}


@pytest.mark.parametrize("wrap", [lambda tensors: tensors, lambda tensors: {"state_dict": tensors}])
def test_a_pickled_file_is_read_without_running_code(tmp_path, wrap):
    torch.save(wrap({"a": torch.ones(2)}), tmp_path / "x.pt")
    assert torch.equal(read_lora_file(tmp_path / "x.pt")[0]["a"], torch.ones(2))


class Harmful:
    """What a pickle can hold that a LoRA must not."""

    def __reduce__(self):
        return (open, ("owned", "w"))


@pytest.mark.parametrize("content", [Harmful(), {"a": 3}, [1]])
def test_a_file_that_holds_anything_but_tensors_is_refused(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(StateError, match=r"x\.ckpt"):
        read_lora_file(tmp_path / "x.ckpt")
    assert not (tmp_path / "owned").exists()


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(StateError, match="not there"):
        read_lora_file(tmp_path / "no.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"not tensors")
    with pytest.raises(StateError, match=r"bad\.safetensors cannot be read"):
        read_lora_file(tmp_path / "bad.safetensors")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (
            "lora_te2_encoder_layers_0_mlp_fc1.alpha",
            "lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha",
        ),
        (
            "text_encoder_2.text_model.encoder.layers.0.mlp.fc1.lora_A.weight",
            "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
        ),
    ],
)
def test_names_of_a_second_text_encoder_are_understood(theirs, ours):
    assert canonical_key(theirs) == ours
