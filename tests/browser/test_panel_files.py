"""Saving and loading configurations in real pages of both generations."""

import pytest
from panel_view import PanelView
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


@pytest.fixture
def panel(notebook):
    return PanelView(notebook).show()


def test_a_saved_configuration_comes_back(panel, tmp_path):
    path = tmp_path / "zork.toml"
    panel.open_tab("Dataset")
    panel.enter("seed", "77")
    panel.write_path(str(path))
    panel.press("Save")
    expect(panel.message).to_contain_text("Saved")
    assert "seed = 77" in path.read_text(encoding="utf-8")
    panel.enter("seed", "1")
    panel.press("Load")
    expect(panel.control("seed")).to_have_value("77")
    expect(panel.message).to_contain_text("Loaded")
    panel.press("Undo load")
    expect(panel.control("seed")).to_have_value("1")


def test_a_file_of_somebody_else_is_replaced_only_on_the_second_click(panel, tmp_path):
    path = tmp_path / "theirs.json"
    path.write_text("{}", encoding="utf-8")
    panel.write_path(str(path))
    panel.press("Save")
    expect(panel.message).to_contain_text("exists already")
    assert path.read_text(encoding="utf-8") == "{}"
    panel.press("Save")
    expect(panel.message).to_contain_text("Saved")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('project_name = "zo', "zork.toml"),
        ('version = 99\nproject_name = "zork"', "version 99"),
        ("seed = -1\n<script>", "zork.toml"),
    ],
    ids=["truncated", "of another version", "no configuration"],
)
def test_a_file_that_cannot_be_loaded_changes_nothing(panel, tmp_path, text, complaint):
    path = tmp_path / "zork.toml"
    path.write_text(text, encoding="utf-8")
    before = panel.read_all()
    panel.write_path(str(path))
    panel.press("Load")
    expect(panel.message).to_contain_text(complaint)
    assert panel.read_all() == before
    assert panel.message.locator("script").count() == 0
