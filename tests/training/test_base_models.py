"""Training on base models that are a single file or come from the hub."""

import shutil

import pytest
from runs import losses, run
from safetensors.torch import load_file, save_file
from tiny import make_tiny_file

from lora_widgets.errors import ModelError
from lora_widgets.events import Finished, PhaseProgress
from lora_widgets.families import hub
from lora_widgets.training.control import Control
from lora_widgets.training.prepare import DOWNLOADING
from lora_widgets.training.start import iter_training


@pytest.fixture
def single_file(tmp_path):
    return make_tiny_file("tiny-sd15.safetensors", tmp_path)


def test_a_single_file_trains_like_the_folder(make_config, tiny_sd15, single_file, tmp_path):
    config = make_config(
        pretrained_model_name_or_path=str(single_file),
        model_config_path=str(tiny_sd15),
        tokenizer_path=str(tiny_sd15 / "tokenizer"),
        text_encoder_lr=1e-4,
    )
    found = losses(run(config))
    folder = losses(run(make_config(text_encoder_lr=1e-4, output_dir=str(tmp_path / "folder"))))
    assert len(found) == 4
    assert found == pytest.approx(folder, rel=1e-4)
    files = [load_file(path / "tiny.safetensors").keys() for path in (tmp_path / "out", tmp_path / "folder")]
    assert files[0] == files[1]


def test_so_does_one_of_sdxl(make_config, tiny_sdxl, tmp_path):
    settings = {
        "model_type": "SDXL",
        "model_config_path": str(tiny_sdxl),
        "tokenizer_path": str(tiny_sdxl),
        "text_encoder_lr": 1e-4,
        "clip_skip": None,
    }
    file = make_tiny_file("tiny-sdxl.safetensors", tmp_path)
    config = make_config(pretrained_model_name_or_path=str(file), **settings)
    assert len(losses(run(config))) == 4
    assert any(name.startswith("lora_te2") for name in load_file(tmp_path / "out" / "tiny.safetensors"))


def test_a_lora_given_as_base_model_is_refused_before_anything_is_made(make_config, tmp_path, single_file):
    save_file({"lora_unet_x.lora_up.weight": load_file(single_file).popitem()[1]}, tmp_path / "l.safetensors")
    config = make_config(pretrained_model_name_or_path=str(tmp_path / "l.safetensors"))
    with pytest.raises(ModelError, match="a LoRA or another adapter, not a base model"):
        list(iter_training(config))
    assert not (tmp_path / "out").exists()


@pytest.fixture
def hub_model(tiny_sd15, tmp_path, monkeypatch):
    """Stand in for the download of the tiny model, which counts its bytes in steps."""
    cache = tmp_path / "cache"

    def download(name, *, allow_patterns, ignore_patterns, tqdm_class):
        bar = tqdm_class(total=100, unit="B")
        for _ in range(4):
            bar.update(25)
        shutil.copytree(tiny_sd15, cache, dirs_exist_ok=True)
        return str(cache)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr(hub, "_MEBIBYTE", 1)
    return "owner/tiny"


def test_a_hub_model_is_downloaded_with_progress_and_trained(make_config, hub_model):
    events = list(iter_training(make_config(pretrained_model_name_or_path=hub_model, max_train_steps=1)))
    told = [e for e in events if isinstance(e, PhaseProgress) and e.phase == DOWNLOADING]
    assert [(event.done, event.total) for event in told] == [(100, 100)] * 3
    assert isinstance(events[-1], Finished)


def test_a_run_can_be_stopped_while_it_downloads(make_config, hub_model):
    control, seen = Control(), []
    for event in iter_training(make_config(pretrained_model_name_or_path=hub_model), control):
        seen.append(event)
        if isinstance(event, PhaseProgress) and event.phase == DOWNLOADING:
            control.stop()
    assert sum(isinstance(e, PhaseProgress) and e.phase == DOWNLOADING for e in seen) == 1
    assert isinstance(seen[-1], Finished)
    assert seen[-1].reason == "stopped"
