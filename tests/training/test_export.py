"""The saved file: names, metadata and hashes other programs read, and nothing private."""

import hashlib
import json

import pytest
import torch
from safetensors import safe_open

from lora_widgets.errors import TrainingError
from lora_widgets.events import Notice
from lora_widgets.training import export
from lora_widgets.training.export import write_weights
from lora_widgets.training.folder import RunFolder, expired, free_stem
from lora_widgets.training.start import iter_training

pytestmark = pytest.mark.any_libraries


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
    assert metadata["modelspec.prediction_type"] == "epsilon"
    assert "modelspec.timestep_range" not in metadata
    assert json.loads(metadata["ss_dataset_dirs"]) == {"2_thing": {"n_repeats": 2, "img_count": 8}}
    assert json.loads(metadata["ss_tag_frequency"])["2_thing"]["thing"] == 8
    assert json.loads(metadata["ss_bucket_info"])["buckets"]["0"] == {"resolution": [64, 64], "count": 16}
    raw = path.read_bytes()
    body = raw[8 + int.from_bytes(raw[:8], "little") :]
    assert metadata["sshs_model_hash"] == hashlib.sha256(body).hexdigest()


def test_metadata_tells_how_noise_was_drawn_and_weighted(make_config, tmp_path):
    config = make_config(
        v_parameterization=True,
        scale_v_pred_loss_like_noise_pred=True,
        min_snr_gamma_enabled=False,
        debiased_estimation_loss=True,
        min_timestep=100,
        max_timestep=900,
        multinoise=True,
        multires_noise_iterations=3,
        noise_offset=0.05,
        noise_offset_random_strength=True,
        ip_noise_gamma_enabled=True,
        ip_noise_gamma_random_strength=True,
        max_train_steps=1,
    )
    notices = [event.message for event in iter_training(config) if isinstance(event, Notice)]
    assert any("`v_parameterization` is on, but the base model's" in message for message in notices)
    metadata, _ = metadata_of(tmp_path / "out" / "tiny.safetensors")
    told = {
        "modelspec.prediction_type": "v",
        "modelspec.timestep_range": "100,900",
        "ss_v_parameterization": "True",
        "ss_scale_v_pred_loss_like_noise_pred": "True",
        "ss_v_pred_like_loss": "None",
        "ss_min_snr_gamma": "None",
        "ss_debiased_estimation": "True",
        "ss_min_timestep": "100",
        "ss_max_timestep": "900",
        "ss_multires_noise_iterations": "3",
        "ss_noise_offset": "0.05",
        "ss_noise_offset_random_strength": "True",
        "ss_ip_noise_gamma": "0.05",
        "ss_ip_noise_gamma_random_strength": "True",
    }
    assert {name: metadata[name] for name in told} == told


def test_metadata_tells_optimizer_schedule_and_loraplus(make_config, tmp_path):
    changes = {"optimizer_args": "eps=1e-6", "lr_scheduler": "linear", "loraplus_unet_lr_ratio": 4}
    list(iter_training(make_config(max_train_steps=1, **changes)))
    metadata, _ = metadata_of(tmp_path / "out" / "tiny.safetensors")
    assert metadata["ss_optimizer"] == "torch.optim.AdamW(betas=(0.9, 0.999),eps=1e-06,weight_decay=0.01)"
    assert metadata["ss_lr_scheduler"] == "linear"
    assert json.loads(metadata["ss_network_args"]) == {"loraplus_unet_lr_ratio": "4.0"}


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
    def full(path, tensors, metadata):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_lora", full)
    with pytest.raises(TrainingError, match=r"No space left on device.*Free some disk space"):
        write_weights(tmp_path / "x.safetensors", {"a": torch.ones(2)}, {}, dtype=torch.float32)


def test_a_file_that_reads_back_differently_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "read_lora_file", lambda path: ({"a": torch.zeros(2)}, {}))
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
