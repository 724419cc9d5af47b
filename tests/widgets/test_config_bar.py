"""Tests of lora_widgets/widgets/config_bar.py."""

import time

import pytest

from lora_widgets.config.files import VERSION, load_config, save_config
from lora_widgets.config.findings import check
from lora_widgets.demo.config import demo_config
from lora_widgets.widgets import settled_click
from lora_widgets.widgets.config_bar import ConfigBar
from lora_widgets.widgets.shared_look import SharedLook


class Entered:
    """Stands in for the form."""

    def __init__(self):
        self.values, self.loads, self.failures = dict(demo_config(output_dir="out")), 0, []

    def draft(self):
        return check(self.values)

    def load(self, values):
        self.values = dict(values)
        self.loads += 1


@pytest.fixture
def entered():
    return Entered()


@pytest.fixture
def bar(entered, monkeypatch):
    monkeypatch.setattr(settled_click, "SETTLE_S", 0.0)
    return ConfigBar(entered.draft, entered.load, failed=entered.failures.append, look=SharedLook())


def click(bar, button):
    """Click and wait for what is said."""
    bar._message.value = ""
    button.click()
    deadline = time.monotonic() + 10
    while not bar._message.value:
        assert time.monotonic() < deadline, "nothing was said"
        time.sleep(0.005)
    time.sleep(0.05)  # the click is over when its action has returned
    return bar._message.value


def test_saving_and_loading_loses_nothing(bar, entered, tmp_path):
    before = entered.draft().config
    bar.path.value = str(tmp_path / "my.toml")
    assert "Saved" in click(bar, bar.save)
    entered.values = dict(demo_config(output_dir="elsewhere", seed=7))
    assert "Loaded" in click(bar, bar.load)
    assert entered.draft().config == before
    assert entered.loads == 1


def test_an_existing_file_is_replaced_by_the_second_click_only(bar, entered, tmp_path):
    path = tmp_path / "my.toml"
    path.write_text("precious")
    bar.path.value = str(path)
    assert "exists already" in click(bar, bar.save)
    assert path.read_text() == "precious"
    assert "Saved" in click(bar, bar.save)
    assert load_config(path) == entered.draft().config


def test_a_warning_is_for_one_path(bar, tmp_path):
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text("precious")
        bar.path.value = str(tmp_path / name)
        assert "exists already" in click(bar, bar.save)
    assert (tmp_path / "a.toml").read_text() == (tmp_path / "b.toml").read_text() == "precious"


def test_its_own_file_is_saved_again_without_a_question(bar, entered, tmp_path):
    bar.path.value = str(tmp_path / "my.json")
    click(bar, bar.save)
    entered.values["seed"] = 8
    assert "Saved" in click(bar, bar.save)
    assert load_config(tmp_path / "my.json").seed == 8


def test_a_loaded_file_that_somebody_else_changed_is_not_replaced_silently(bar, tmp_path):
    path = tmp_path / "my.toml"
    save_config(demo_config(output_dir="out"), path)
    bar.path.value = str(path)
    click(bar, bar.load)
    path.write_text(path.read_text() + "\n# by hand\n")
    assert "exists already" in click(bar, bar.save)
    assert "by hand" in path.read_text()


def test_invalid_settings_are_not_saved(bar, entered, tmp_path):
    entered.values["unet_lr"] = "fast"
    bar.path.value = str(tmp_path / "my.toml")
    assert "Not saved" in click(bar, bar.save)
    assert not (tmp_path / "my.toml").exists()


DAMAGE = {
    "truncated": lambda text: text[: len(text) // 2] + "\nbroken = ",
    "another version": lambda text: text.replace(f"version = {VERSION}", "version = 99"),
    "unknown setting": lambda text: text + "\nnot_a_setting = 1\n",
    "invalid value": lambda text: text.replace("seed = 42", "seed = -1"),
    "no text": lambda text: "\0\0",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_cannot_be_used_leaves_everything_as_it_is(bar, entered, tmp_path, damage):
    path, before = tmp_path / "my.toml", dict(entered.values)
    save_config(demo_config(output_dir="out"), path)
    text = DAMAGE[damage](path.read_text())
    path.write_text(text)
    bar.path.value = str(path)
    message = click(bar, bar.load)
    assert "lw-note-refused" in message
    assert "my.toml" in message
    assert entered.values == before
    assert entered.loads == 0
    assert "exists already" in click(bar, bar.save)
    assert path.read_text() == text


@pytest.mark.parametrize("name", ["", "   ", "no-ending", "folder.toml", "x" * 5000 + ".toml", "a\0.toml"])
def test_impossible_paths_are_answered_in_words(bar, entered, tmp_path, name):
    (tmp_path / "folder.toml").mkdir()
    bar.path.value = str(tmp_path / name) if name.strip() else name
    for button in (bar.load, bar.save):
        assert "lw-note-refused" in click(bar, button)
    assert entered.failures == []
    assert entered.loads == 0


def test_messages_are_escaped(bar):
    bar.path.value = "<img src=x>.toml"
    assert "<img" not in click(bar, bar.load)


def test_a_key_is_not_in_the_file_and_not_lost_by_loading_it(bar, entered, tmp_path):
    entered.values["wandb_key"] = "very-secret"
    bar.path.value = str(tmp_path / "my.toml")
    assert "secrets are not in the file" in click(bar, bar.save)
    assert "very-secret" not in (tmp_path / "my.toml").read_text()
    click(bar, bar.load)
    assert entered.values["wandb_key"] == "very-secret"


def test_what_was_entered_before_a_load_can_be_had_back(bar, entered, tmp_path):
    save_config(demo_config(output_dir="out", seed=7), tmp_path / "my.toml")
    before = {**entered.values, "unet_lr": "fast"}
    entered.values = dict(before)
    bar.path.value = str(tmp_path / "my.toml")
    assert "lw-hide" in bar.undo._dom_classes
    click(bar, bar.load)
    assert "lw-hide" not in bar.undo._dom_classes
    click(bar, bar.undo)
    assert entered.values == before
    assert "lw-hide" in bar.undo._dom_classes


def test_what_is_typed_while_the_kernel_is_busy_is_saved_too(bar, entered, tmp_path, monkeypatch):
    monkeypatch.setattr(settled_click, "SETTLE_S", 0.1)
    bar.path.value = str(tmp_path / "my.toml")
    bar.save.click()
    entered.values["seed"] = 99
    deadline = time.monotonic() + 10
    while not (tmp_path / "my.toml").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert load_config(tmp_path / "my.toml").seed == 99
