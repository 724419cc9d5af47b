"""`lora-widgets file`, and the panel that runs the same tools."""

import sys

import pytest
from adapter_files import VERSIONS, first_case, random_adapter
from safetensors.torch import save_file

from lora_widgets import LoraFiles
from lora_widgets.cli import main
from lora_widgets.commands.file import _weighted
from lora_widgets.lora_files.lora_file import read_lora
from lora_widgets.widgets.file_panel import TOOLS


@pytest.fixture
def lora(tmp_path):
    path = tmp_path / "style.safetensors"
    save_file(random_adapter(first_case("sd15")), path, {"ss_base_model_version": VERSIONS["SD1.5"]})
    return path


def test_inspect_prints_what_the_file_is(lora, capsys):
    assert main(["file", "inspect", str(lora)]) == 0
    assert "SD1.5, names as kohya has them" in capsys.readouterr().out


def test_check_ends_with_1_where_something_is_wrong(lora, tmp_path, capsys):
    assert main(["file", "check", str(lora)]) == 0
    assert capsys.readouterr().out == "Nothing to report.\n"
    odd = tmp_path / "odd.safetensors"
    save_file(
        random_adapter(first_case("sd15")) | {"x": random_adapter(first_case("sdxl")).popitem()[1]}, odd
    )
    assert main(["file", "check", str(odd)]) == 1
    assert "1 tensors are of no adapter type" in capsys.readouterr().out


def test_the_tools_write_new_files(lora, tmp_path, capsys):
    new = [str(tmp_path / f"{name}.safetensors") for name in ("converted", "small", "both")]
    assert main(["file", "convert", str(lora), new[0], "--to", "diffusers"]) == 0
    assert main(["file", "resize", str(lora), new[1], "--rank", "2", "--precision", "fp16"]) == 0
    assert main(["file", "merge", new[2], f"{lora}:0.5", new[0]]) == 0
    assert [read_lora(path).dialect for path in new] == ["diffusers", "kohya", "kohya"]
    out = capsys.readouterr().out
    assert "204 modules with 2 to 2 ranks keep" in out
    assert f"written: {new[2]}" in out


def test_the_base_model_that_some_types_need_is_read(lora, tmp_path, capsys):
    new, base = str(tmp_path / "new.safetensors"), ["--base", str(tmp_path / "none.safetensors")]
    for tool in (["resize", str(lora), new, "--rank", "1"], ["merge", new, str(lora), str(lora)]):
        assert main(["file", *tool, *base]) == 2
        assert "The base model" in capsys.readouterr().err


def test_an_existing_file_is_a_message_and_no_traceback(lora, capsys):
    assert main(["file", "convert", str(lora), str(lora), "--to", "native"]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err


def test_a_weight_follows_the_last_colon():
    assert [
        _weighted(text)[1] for text in ("a.safetensors", "a.safetensors:-0.5", r"C:\loras\a.safetensors")
    ] == [
        1.0,
        -0.5,
        1.0,
    ]


@pytest.fixture
def panel():
    return LoraFiles()


def test_the_panel_asks_for_what_its_tool_reads(panel):
    for name, tool in TOOLS.items():
        panel.tool.value = name
        assert list(panel.form.children) == [panel.fields[field] for field in tool.fields]


def test_the_panel_runs_each_kind_of_tool(panel, lora, tmp_path):
    panel.fields["source"].value = str(lora)
    panel.work()
    assert "SD1.5, names as kohya has them" in panel.answer.value
    panel.tool.value = "resize"
    panel.fields["target"].value = str(tmp_path / "small.safetensors")
    panel.fields["rank"].value = "2"
    panel.work()
    assert "Written: " in panel.answer.value
    panel.tool.value = "merge"
    panel.fields["sources"].value = f"{lora}:0.5\n{tmp_path / 'small.safetensors'}"
    panel.fields["target"].value = str(tmp_path / "both.safetensors")
    panel.fields["rank"].value = ""
    panel.work()
    assert read_lora(tmp_path / "both.safetensors").modules


def test_the_panel_says_what_is_wrong_and_escapes_it(panel):
    panel.fields["source"].value = "<b>none</b>.safetensors"
    panel.work()
    assert "&lt;b&gt;none&lt;/b&gt;.safetensors is not there" in panel.answer.value
    assert not panel.button.disabled


def test_a_mistake_of_ours_is_shown_instead_of_nothing(panel, monkeypatch, caplog):
    def broken(*_):
        raise KeyError("x")

    panel._run = broken
    panel.work()
    assert "This is a mistake in the program: KeyError" in panel.answer.value
    assert "failed" in caplog.text


def test_a_click_works_in_the_background(panel, lora):
    panel.fields["source"].value = str(lora)
    panel.button.click()
    panel._working.join(30)
    assert "SD1.5" in panel.answer.value
    assert "torch" in sys.modules
