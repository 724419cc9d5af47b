"""The panel of file tools in a real JupyterLab: it looks into a file, resizes it, and overwrites nothing."""

import re

import pytest
from file_view import FileView, write_lora
from playwright.sync_api import expect

from lora_widgets.lora_files.lora_file import read_lora

pytestmark = pytest.mark.browser


def test_a_file_is_inspected_and_resized(lab, tmp_path):
    source, target = write_lora(tmp_path / "style.safetensors"), tmp_path / "small.safetensors"
    notebook = lab([""])
    view = FileView(notebook).show()
    view.run("Look into a file", {"LoRA file": str(source)}, says="SD1.5, names as kohya has them")
    view.run("Resize the rank", {"New file": str(target), "Ranks at most": "2"}, says=f"Written: {target}")
    assert {len(own["lora_down.weight"]) for own in read_lora(target).modules.values()} == {2}
    expect(view.root.get_by_label("Base model", exact=True)).to_have_attribute(
        "placeholder", re.compile("needed only")
    )
    view.run("Resize the rank", {}, says="nothing is overwritten")
    expect(view.answer.locator(".lw-tools-wrong")).to_be_visible()
    cut = "label => label.scrollWidth > label.clientWidth"
    labels = view.root.locator(".widget-label:visible").all()
    assert [label.inner_text() for label in labels if label.evaluate(cut)] == []
    assert notebook.errors == []
