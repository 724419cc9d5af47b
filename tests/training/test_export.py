"""The saved file: names, metadata and hashes other programs read, and nothing private."""

import hashlib
import json

import pytest
import torch
from safetensors import safe_open

from lora_widgets.errors import TrainingError
from lora_widgets.training import export
from lora_widgets.training.export import write_weights
from lora_widgets.training.folder import RunFolder, expired, free_stem
from lora_widgets.training.start import iter_training


def metadata_of(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata(), set(file.keys())


def test_files_carry_kohya_names_and_metadata(make_config, tmp_path):
    list(iter_training(make_config(save_precision="fp16")))
    path = tmp_path / "out" / "tiny.safetensors"
    metadata, names = metadata_of(path)
    assert "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight" in names
    assert "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha" in names
    assert metadata["ss_network_module"] == "networks.lora"
    assert metadata["ss_network_dim"] == "4"
    assert metadata["ss_base_model_version"] == "sd_v1"
    assert metadata["ss_steps"] == "4"
    assert metadata["ss_unet_lr"] == "0.0005"
    assert metadata["modelspec.architecture"] == "stable-diffusion-v1/lora"
    assert json.loads(metadata["ss_dataset_dirs"]) == {"2_thing": {"n_repeats": 2, "img_count": 8}}
    assert json.loads(metadata["ss_tag_frequency"])["2_thing"]["thing"] == 8
    assert json.loads(metadata["ss_bucket_info"])["buckets"]["0"] == {"resolution": [64, 64], "count": 16}
    raw = path.read_bytes()
    body = raw[8 + int.from_bytes(raw[:8], "little") :]
    assert metadata["sshs_model_hash"] == hashlib.sha256(body).hexdigest()


def test_metadata_tells_no_paths(make_config, tmp_path):
    list(iter_training(make_config()))
    metadata, _ = metadata_of(tmp_path / "out" / "tiny.safetensors")
    assert str(tmp_path) not in json.dumps(metadata)
    assert json.loads(metadata["lora_widgets.config"])["network_dim"] == 4


def test_no_metadata_leaves_what_loaders_need(make_config, tmp_path):
    list(iter_training(make_config(no_metadata=True)))
    metadata, _ = metadata_of(tmp_path / "out" / "tiny.safetensors")
    kept = {key for key in metadata if key.startswith("ss_")}
    network = {"ss_network_module", "ss_network_dim", "ss_network_alpha", "ss_network_args"}
    assert kept == {"ss_v2", "ss_base_model_version"} | network


def test_saved_numbers_have_the_chosen_precision(make_config, tmp_path):
    list(iter_training(make_config(save_precision="bf16")))
    with safe_open(tmp_path / "out" / "tiny.safetensors", framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118


def test_a_file_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_atomically", full)
    with pytest.raises(TrainingError, match=r"No space left on device.*Free some disk space"):
        write_weights(tmp_path / "x.safetensors", {"a": torch.ones(2)}, {}, dtype=torch.float32)


def test_a_file_that_reads_back_differently_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "load_file", lambda path: {"a": torch.zeros(2)})
    with pytest.raises(TrainingError, match="reads back differently"):
        write_weights(tmp_path / "x.safetensors", {"a": torch.ones(2)}, {}, dtype=torch.float32)


@pytest.mark.parametrize(("keep", "gone"), [(0, ()), (2, ("a", "b")), (4, ()), (9, ())])
def test_the_newest_are_kept_and_zero_keeps_all(keep, gone):
    assert expired(("a", "b", "c", "d"), keep) == gone


def test_free_names_are_counted_up(tmp_path):
    folder = RunFolder(tmp_path, "run")
    (tmp_path / "run.safetensors").touch()
    (tmp_path / "run-2-step00000004.safetensors").touch()
    assert free_stem(folder) == "run-3"


def test_files_of_other_runs_are_no_leftovers(tmp_path):
    (tmp_path / "run-b.safetensors").touch()
    (tmp_path / "run2.safetensors").touch()
    assert not RunFolder(tmp_path, "run").leftovers()
