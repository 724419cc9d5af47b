"""Tests of notebooks/config_in_code.ipynb."""

import json
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
NOTEBOOK = REPOSITORY / "notebooks" / "config_in_code.ipynb"


@pytest.fixture(scope="module")
def code():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_has_few_cells_and_no_outputs(code):
    assert len(code) <= 6
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_its_configuration_can_be_trained(code):
    from lora_widgets import check

    names = {}
    exec("".join(code[0]["source"]), names)
    config = names["config"]
    assert check(config).errors == ()
    assert config.pretrained_model_name_or_path == config.train_data_dir == "demo"


def test_what_is_not_about_training_runs(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for cell in code[:3]:
        exec("".join(cell["source"]), names)
    assert "network_alpha" in capsys.readouterr().out
    assert names["load_config"]("zibbo.toml") == names["config"]


@pytest.mark.slow
def test_the_notebook_runs(run_notebook, tmp_path):
    """With a tenth of its steps."""
    run_notebook(
        NOTEBOOK,
        ("max_train_steps=120", "max_train_steps=12"),
        ("sample_every_n_steps=40", "sample_every_n_steps=6"),
    )
    assert list((tmp_path / "config-in-code").glob("*.safetensors"))
