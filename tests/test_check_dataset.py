"""The page of ``lora-widgets check CONFIG --dataset``."""

from pathlib import Path

import pytest

from lora_widgets.cli import main
from lora_widgets.commands import dataset_report
from lora_widgets.config.files import save_config
from lora_widgets.demo.config import demo_config


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Save the demo's configuration, and work in a folder of its own."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    path = tmp_path / "demo.toml"
    save_config(demo_config(output_dir=str(tmp_path / "out")), path)
    return path


def said_path(capsys):
    line = next(
        line for line in capsys.readouterr().out.splitlines() if line.startswith("What the model will see")
    )
    return Path(line.partition(": ")[2])


def test_the_page_is_named_for_the_project_and_never_replaced(config, capsys):
    assert main(["check", str(config), "--dataset"]) == 0
    first = said_path(capsys)
    assert first == Path.cwd() / "zibbo-dataset.html"
    content = first.read_text(encoding="utf-8")
    assert content.count("<article") == 16
    assert main(["check", str(config), "--dataset"]) == 0
    assert said_path(capsys) == Path.cwd() / "zibbo-dataset-2.html"
    assert first.read_text(encoding="utf-8") == content


@pytest.mark.parametrize(
    ("name", "expected"), [("a.html", "a.html"), ("a", "a.html"), (".", "zibbo-dataset.html")]
)
def test_the_page_goes_where_it_is_asked_for(config, capsys, name, expected):
    assert main(["check", str(config), "--dataset", name]) == 0
    assert said_path(capsys) == Path.cwd() / expected


def test_without_the_option_nothing_is_written(config):
    assert main(["check", str(config)]) == 0
    assert list(Path.cwd().iterdir()) == []


def test_a_folder_that_is_not_there_is_named(config, capsys):
    assert main(["check", str(config), "--dataset", "nowhere/a.html"]) == 2
    error = capsys.readouterr().err
    assert "nowhere" in error
    assert "--dataset" in error


def test_a_full_disk_leaves_no_half_page(config, monkeypatch, capsys):
    real_open = Path.open

    def full(self, mode="r", **options):
        file = real_open(self, mode, **options)
        if mode == "x":

            def write(text):
                raise OSError(28, "No space left on device")

            file.write = write
        return file

    monkeypatch.setattr(Path, "open", full)
    assert main(["check", str(config), "--dataset"]) == 2
    assert "No space left" in capsys.readouterr().err
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [("train_data_dir=/nowhere/pictures", "no picture can be used"), ("unet_lr=fast", "correct the errors")],
)
def test_what_cannot_be_shown_is_no_page(config, capsys, change, reason):
    assert main(["check", str(config), "--dataset", "--set", change]) == 1
    assert reason in capsys.readouterr().out
    assert list(Path.cwd().iterdir()) == []


def test_many_pictures_show_that_something_happens(config, capsys, monkeypatch):
    monkeypatch.setattr(dataset_report, "PROGRESS_EVERY", 5)
    assert main(["check", str(config), "--dataset"]) == 0
    assert "Looked at 15 of 16 pictures" in capsys.readouterr().out
