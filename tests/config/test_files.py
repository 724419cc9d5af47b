import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.config import files
from lora_widgets.config.files import load_config, save_config, values_from_strings
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.errors import ConfigError

GOOD = {
    "project_name": "cat",
    "pretrained_model_name_or_path": "demo",
    "train_data_dir": "demo",
    "output_dir": "out",
}
SUFFIXES = (".toml", ".json")

changes = st.fixed_dictionaries(
    {},
    optional={
        "unet_lr": st.floats(0, 1),
        "clip_skip": st.none() | st.integers(1, 12),
        "resolution": st.integers(64, 4096) | st.sampled_from(["512,768", "832,1216"]),
        "caption_prefix": st.text(max_size=30),
        "sample_prompts": st.none() | st.text(min_size=1, max_size=60),
        "flip_aug": st.booleans(),
        "lr_scheduler_min_lr_ratio": st.none() | st.floats(0, 1),
        "optimizer_args": st.none() | st.sampled_from(["eps=1e-6", '{"betas": [0.9, 0.99]}']),
        "log_with": st.sampled_from([None, "all"]),
    },
)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(changes)
def test_a_saved_config_loads_as_itself(tmp_path_factory, suffix, values):
    config = TrainingConfig(**{**GOOD, **values})
    path = tmp_path_factory.mktemp("config") / f"run{suffix}"
    save_config(config, path)
    assert load_config(path) == config


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_secrets_are_never_written(tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    save_config(TrainingConfig(**GOOD, wandb_key="hush-hush"), path)
    text = path.read_text()
    assert "hush" not in text
    assert "wandb" not in text
    assert "version" in text


def load_text(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(path)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", 'project_name = "a', ["a.toml", "damaged or incomplete", "line 1"]),
        ("a.toml", 'project_name = "a"\nseed = ', ["line 2"]),
        ("a.toml", "seed = 1\nseed = 2", ["seed", "line 2"]),
        ("a.json", '{"seed": 1,\n', ["a.json", "damaged or incomplete", "line 2"]),
        ("a.json", '{"seed": 1, "seed": 2}', ["'seed' is given twice"]),
        ("a.json", "[1]", ["no table"]),
        ("a.json", "[" * 100_000, ["damaged"]),
        ("a.json", b"\xff\xfe{", ["not a text file"]),
        ("a.yaml", "seed: 1", ["must end with .toml or .json"]),
        ("a", "", ["must end with .toml or .json"]),
        (
            "a.toml",
            "netwrok_dim = 3",
            ["a.toml", "`netwrok_dim` is not a setting", "Did you mean `network_dim`"],
        ),
        ("a.toml", "unet_lr = 1e999", ["`unet_lr` is inf, but must be a finite number"]),
        ("a.toml", "unet_lr = nan", ["`unet_lr` is nan, but must be a finite number"]),
        ("a.json", '{"unet_lr": 1e999}', ["`unet_lr` is inf"]),
        ("a.json", '{"unet_lr": NaN}', ["`unet_lr` is nan"]),
        ("a.toml", "resolution = 0", ["`resolution` is 0, but must be at least 64"]),
        ("a.toml", "num_repeats = true", ["`num_repeats` is True, but must be a whole number"]),
        ("a.toml", "[training]\nseed = 1", ["`training` is not a setting"]),
        ("a.toml", "version = 2", ["version 2", "knows only 1", "pip install -U"]),
        ("a.toml", "version = true", ["version True"]),
        ("a.toml", 'version = "x"', ["version 'x'"]),
    ],
)
def test_a_bad_file_is_named_with_place_and_remedy(tmp_path, name, text, words):
    with pytest.raises(ConfigError) as failure:
        load_text(tmp_path, name, text)
    assert name in str(failure.value)
    for word in words:
        assert word in str(failure.value)


@given(st.text(max_size=60) | st.binary(max_size=60), st.sampled_from(["a.toml", "a.json"]))
def test_any_content_gives_a_config_or_our_error(tmp_path_factory, text, name):
    with pytest.raises(ConfigError):
        load_text(tmp_path_factory.mktemp("any"), name, text)


def test_every_cut_of_a_file_is_refused_or_loads(tmp_path):
    path = tmp_path / "run.json"
    save_config(TrainingConfig(**GOOD), path)
    whole = path.read_text()
    for end in range(0, len(whole) - 2, 97):
        with pytest.raises(ConfigError):
            load_text(tmp_path, "cut.json", whole[:end])


def test_files_written_by_hand_need_only_what_is_required(tmp_path):
    names = ("project_name", "model_path", "dataset_dir", "output_dir")
    text = "\n".join([*(f'{name} = "demo"' for name in names), "epochs = 2 # short"])
    assert load_text(tmp_path, "a.toml", text).max_train_epochs == 2


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read: No such file"):
        load_config(tmp_path / "nowhere.toml")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"run\.toml cannot be written"):
        save_config(TrainingConfig(**GOOD), tmp_path / "file" / "run.toml")


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "run.toml"
    save_config(TrainingConfig(**GOOD), path)
    before = path.read_text()

    def full_disk(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full_disk)
    with pytest.raises(ConfigError, match="No space left"):
        save_config(TrainingConfig(**GOOD, seed=7), path)
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["run.toml"]


def test_json_is_plain(tmp_path):
    path = tmp_path / "run.json"
    save_config(TrainingConfig(**GOOD, caption_prefix="ü"), path)
    values = json.loads(path.read_text(encoding="utf-8"))
    assert values["version"] == 1
    assert values["caption_prefix"] == "ü"
    assert values["vae_path"] == ""


def test_texts_of_a_command_line_become_values():
    texts = {"unet_lr": "1e-4", "epochs": "3", "flip_aug": "yes", "clip_skip": "none", "resolution": "64"}
    values = values_from_strings({**texts, "learning_rate": "2e-4", "seed": "x", "caption_prefix": " a "})
    assert values == {
        "unet_lr": 1e-4,
        "epochs": 3,
        "flip_aug": True,
        "clip_skip": None,
        "resolution": "64",
        "learning_rate": 2e-4,
        "seed": "x",
        "caption_prefix": " a ",
    }


def test_an_unknown_name_on_the_command_line_gets_a_suggestion():
    with pytest.raises(ConfigError, match="Did you mean `network_dim`"):
        values_from_strings({"networkdim": "3"})
