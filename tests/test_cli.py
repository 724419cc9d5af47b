"""The command line: what it says, how it ends, and that it never shows a traceback for a user's mistake."""

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lora_widgets.cli import main
from lora_widgets.commands import lab as lab_module
from lora_widgets.errors import LoraWidgetsError

ROOT = Path(__file__).parent.parent


@pytest.fixture
def write_config(tmp_path, tiny_dataset, tiny_sd15):
    """Return a function that writes a valid configuration with `changes` and returns its path."""

    def write(**changes) -> Path:
        from lora_widgets.config.files import save_config
        from lora_widgets.config.training_config import TrainingConfig

        base = TrainingConfig(
            project_name="thing",
            model_type="SD1.5",
            pretrained_model_name_or_path=str(tiny_sd15),
            train_data_dir=str(tiny_dataset),
            output_dir=str(tmp_path / "out"),
            resolution=64,
            min_bucket_reso=64,
            max_bucket_reso=128,
            mixed_precision="no",
            train_batch_size=2,
            max_train_epochs=1,
        )
        path = tmp_path / "thing.toml"
        save_config(base.with_changes(**changes), path)
        return path

    return write


def failure_of(capsys, *arguments) -> str:
    """Run a command that must fail for a reason the user can change; return its message."""
    code = main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert code == 2
    assert "Traceback" not in error
    assert error.startswith("lora-widgets ")
    return error


@pytest.mark.parametrize("command", ["train", "check"])
def test_a_missing_file_is_named(capsys, tmp_path, command):
    assert "nothing.toml" in failure_of(capsys, command, tmp_path / "nothing.toml")


@pytest.mark.parametrize("command", ["train", "check"])
@pytest.mark.parametrize(
    ("name", "content"), [("a.toml", "unet_lr = "), ("a.json", '{"unet_lr": 1'), ("a.txt", "")]
)
def test_a_file_that_cannot_be_read_is_named(capsys, tmp_path, command, name, content):
    path = tmp_path / name
    path.write_text(content)
    assert name in failure_of(capsys, command, path)


def test_a_mistyped_key_is_answered_with_the_right_one(capsys, write_config):
    path = write_config()
    path.write_text(path.read_text() + "\nnetwork_dimm = 8\n")
    assert "Did you mean `network_dim`?" in failure_of(capsys, "train", path)
    assert main(["check", str(path)]) == 1
    assert "Did you mean `network_dim`?" in capsys.readouterr().out


def test_a_mistyped_change_is_answered_with_the_right_one(capsys, write_config):
    error = failure_of(capsys, "train", write_config(), "--set", "unet_lrr=1e-4")
    assert "unet_lrr" in error
    assert "did you mean" in error.lower()


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ("train_data_dir=/nowhere/pictures", "/nowhere/pictures"),
        ("pretrained_model_name_or_path=/nowhere/model", "/nowhere/model"),
        ("resolution=0", "resolution"),
        ("unet_lr=1e999", "unet_lr"),
        ("unet_lr=nan", "unet_lr"),
        ("train_batch_size=two", "train_batch_size"),
    ],
)
def test_a_value_that_cannot_work_is_named(capsys, write_config, change, setting):
    assert setting in failure_of(capsys, "train", write_config(), "--set", change)


def test_an_output_folder_below_a_file_is_named(capsys, write_config, tmp_path):
    (tmp_path / "file").write_text("")
    error = failure_of(capsys, "train", write_config(), "--set", f"output_dir={tmp_path / 'file' / 'out'}")
    assert "output_dir" in error or str(tmp_path / "file") in error


def test_an_empty_folder_of_pictures_is_named(capsys, write_config, tmp_path):
    (tmp_path / "none" / "1_thing").mkdir(parents=True)
    assert "none" in failure_of(
        capsys, "train", write_config(), "--set", f"train_data_dir={tmp_path / 'none'}"
    )


@pytest.mark.parametrize("argument", ["unet_lr", "=3"])
def test_a_change_without_a_value_is_refused(capsys, argument):
    with pytest.raises(SystemExit, match="2"):
        main(["train", "a.toml", "--set", argument])
    assert "name=value" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-3", "1.5", "many", "³"])
def test_the_demo_wants_a_number_of_steps_above_zero(capsys, number):
    with pytest.raises(SystemExit, match="2"):
        main(["demo", f"--steps={number}"])
    assert "above 0" in capsys.readouterr().err


def test_no_command_shows_how_to_use_it(capsys):
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "usage: lora-widgets" in capsys.readouterr().err


def test_help_waits_for_no_library():
    code = (
        "import sys\nfrom lora_widgets.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "print({'torch', 'pydantic', 'matplotlib', 'ipywidgets', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    for command in ("demo", "lab", "train", "check", "settings"):
        assert command in done.stdout


def test_check_counts_the_steps(capsys, write_config):
    assert main(["check", str(write_config())]) == 0
    out = capsys.readouterr().out
    assert "16 pictures" in out
    assert "steps in all" in out


def test_check_shows_what_is_wrong_and_the_remedy(capsys, write_config):
    changes = ["--set", "cache_text_encoder_outputs=true", "--set", "shuffle_caption=true"]
    assert main(["check", str(write_config()), *changes]) == 1
    out = capsys.readouterr().out
    assert "error" in out
    assert "shuffle_caption" in out


def test_check_looks_into_weight_files(capsys, write_config, tmp_path):
    lora, damaged = tmp_path / "l.safetensors", tmp_path / "v.safetensors"
    save_file({"lora_unet_x.lora_up.weight": np.zeros((4, 4), np.float32)}, lora)
    damaged.write_bytes(lora.read_bytes()[:-1])
    changes = ["--set", f"pretrained_model_name_or_path={lora}", "--set", f"vae_path={damaged}"]
    assert main(["check", str(write_config()), *changes]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "which is a LoRA or another adapter, not a base model" in out
    assert "incomplete or damaged" in out


def broken_models(tiny_sd15, tiny_sdxl, folder):
    """Return models that no training can begin with, and what is said about each."""
    truncated = shutil.copytree(tiny_sd15, folder / "truncated")
    file = truncated / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    inpainting = shutil.copytree(tiny_sd15, folder / "inpainting")
    unet = inpainting / "unet" / "config.json"
    unet.write_text(unet.read_text().replace('"in_channels": 4', '"in_channels": 9'))
    return {
        tiny_sdxl: "a SDXL model, but `model_type` is SD1.5",
        truncated: "The unet of the model",
        inpainting: "an inpainting or editing variant",
        tiny_sd15 / "unet": "no model_index.json",
        folder / "nowhere.safetensors": "nothing is there",
    }


def test_check_opens_the_base_model_as_the_training_does(
    capsys, write_config, tiny_sd15, tiny_sdxl, tmp_path
):
    for model, words in broken_models(tiny_sd15, tiny_sdxl, tmp_path).items():
        assert main(["check", str(write_config()), f"--set=pretrained_model_name_or_path={model}"]) == 1
        out = " ".join(capsys.readouterr().out.split())
        assert words in out
        assert str(model) in out  # whole: a path in two lines cannot be copied
        assert "1 error" in out


def test_check_leaves_the_hub_alone(capsys, write_config):
    assert main(["check", str(write_config()), "--set=pretrained_model_name_or_path=owner/name"]) == 0
    capsys.readouterr()


def test_check_names_paths_that_are_not_there(capsys, write_config):
    assert (
        main(["check", str(write_config()), "--set=vae_path=/nowhere/v", "--set=reg_data_dir=/nowhere/r"])
        == 1
    )
    out = capsys.readouterr().out
    assert "/nowhere/v" in out
    assert "/nowhere/r" in out


def test_check_of_a_missing_folder_is_an_error(capsys, write_config):
    assert main(["check", str(write_config()), "--set", "train_data_dir=/nowhere/pictures"]) == 1
    out = capsys.readouterr().out
    assert "/nowhere/pictures" in out
    assert "1 error" in out


def test_settings_lists_every_setting(capsys):
    from lora_widgets.config.fields import fields
    from lora_widgets.config.training_config import TrainingConfig

    assert main(["settings"]) == 0
    out = capsys.readouterr().out
    assert [spec.name for spec in fields(TrainingConfig) if spec.name not in out] == []


def test_settings_explains_one(capsys):
    assert main(["settings", "min_snr_gamma"]) == 0
    out = capsys.readouterr().out
    assert "min_snr_gamma" in out
    assert "default" in out
    assert "5" in out


def test_an_unknown_setting_is_answered_with_the_right_one(capsys):
    assert "unet_lr" in failure_of(capsys, "settings", "unet_lrr").replace("unet_lrr", "")


def test_no_setting_shows_a_secret(capsys):
    assert main(["settings", "wandb_key"]) == 0
    assert "SecretStr('" not in capsys.readouterr().out


def test_a_copy_leaves_what_exists_alone(tmp_path):
    source = tmp_path / "source" / "a.ipynb"
    source.parent.mkdir()
    source.write_text("{}")
    names = [lab_module.copy_to_free_name(source, tmp_path).name for _ in range(3)]
    assert names == ["a.ipynb", "a-2.ipynb", "a-3.ipynb"]


def test_a_copy_that_cannot_be_made_is_a_message(tmp_path):
    source = tmp_path / "a.ipynb"
    source.write_text("{}")
    with pytest.raises(LoraWidgetsError, match="cannot be written"):
        lab_module.copy_to_free_name(source, source)


def test_lab_says_what_to_install(capsys, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(lab_module, "find_spec", lambda name: None if name == "jupyterlab" else real(name))
    assert 'pip install "lora-widgets[lab]"' in failure_of(capsys, "lab")


def test_lab_opens_a_copy_of_the_notebook(monkeypatch, tmp_path):
    from jupyterlab.labapp import LabApp

    opened = []
    monkeypatch.setattr(LabApp, "launch_instance", opened.append)
    monkeypatch.chdir(tmp_path)
    assert main(["lab", "--port", "8899", "--no-browser", "--", "--allow-root"]) == 0
    copy = tmp_path / "train_lora.ipynb"
    assert opened == [[str(copy), "--ServerApp.port=8899", "--no-browser", "--allow-root"]]
    assert copy.read_bytes() == (lab_module.packaged_notebooks() / "train_lora.ipynb").read_bytes()


class InterruptedRun:
    """A run whose user presses Ctrl-C while it is waited for."""

    def __init__(self):
        self.done = self
        self.error = None
        self.stopped = False
        self._ended = threading.Event()

    def is_set(self):
        return self._ended.is_set()

    def wait(self, seconds):
        if self.stopped:
            self._ended.set()
        else:
            raise KeyboardInterrupt

    def stop(self):
        self.stopped = True


def test_ctrl_c_stops_the_run_tidily(capsys, monkeypatch, write_config):
    import lora_widgets.launch

    run = InterruptedRun()
    monkeypatch.setattr(lora_widgets.launch, "start", lambda config, *, listeners: run)
    assert main(["train", str(write_config())]) == 130
    assert run.stopped
    assert "saving everything" in capsys.readouterr().out


def test_a_reader_who_has_seen_enough_is_no_error():
    command = [sys.executable, "-m", "lora_widgets", "settings"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    process.stderr.close()


def test_an_adapter_takes_its_sizes_from_a_file_in_any_dialect(write_config, tmp_path):
    from lora_widgets.lora_files.lora_file import read_lora

    changes = {"max_train_steps": 1, "optimizer_type": "AdamW", "sample_at_first": False}
    first = write_config(**changes, network_dim=2, network_alpha=1.0, save_dialect="native")
    assert main(["train", str(first)]) == 0
    source = tmp_path / "out" / "thing.safetensors"
    second = write_config(**changes, network_dim=8, output_name="second")
    sizes = ["--set", "dim_from_weights=true", "--set", f"continue_from_lora={source}"]
    assert main(["train", str(second), *sizes]) == 0
    one, two = (read_lora(path) for path in (source, tmp_path / "out" / "second.safetensors"))
    assert one.dialect == "native"
    assert two.modules.keys() == one.modules.keys()
    assert {(len(own["lora_down.weight"]), float(own["alpha"])) for own in two.modules.values()} == {(2, 1.0)}


@pytest.mark.slow
def test_the_demo_leaves_what_it_promises_and_earlier_results_alone(tmp_path):
    earlier = tmp_path / "lora-widgets-demo" / "zibbo.safetensors"
    earlier.parent.mkdir()
    earlier.write_bytes(b"precious")
    done = subprocess.run(
        [sys.executable, "-m", "lora_widgets", "demo", "--steps", "4"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = {path.name for path in (tmp_path / "lora-widgets-demo-2").iterdir()}
    assert {"samples.png", "loss.png", "zibbo.safetensors"} <= made
    assert "step 4/4" in done.stdout
    assert "lora-widgets lab" in done.stdout
    assert "Traceback" not in done.stderr
    assert [path.read_bytes() for path in earlier.parent.iterdir()] == [b"precious"]
