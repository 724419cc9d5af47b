"""Tests of notebooks/train_lora.ipynb and of the kernel beside it."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
NOTEBOOK = REPOSITORY / "notebooks" / "train_lora.ipynb"
KERNEL = REPOSITORY / "kernels" / "lora-widgets"


@pytest.fixture(scope="module")
def cells():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_the_notebook_has_few_cells_and_no_outputs(cells):
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) <= 6
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_the_notebook_holds_no_logic(cells):
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert not any(f"{word} " in code for word in ("def", "class", "for", "while", "if", "try"))


def test_the_notebook_opens_with_any_python_kernel():
    assert json.loads(NOTEBOOK.read_text(encoding="utf-8"))["metadata"]["kernelspec"]["name"] == "python3"


@pytest.mark.slow
def test_the_notebook_runs(run_notebook, tmp_path):
    """With fewer steps; all of them are run in the tests of the demo."""
    run_notebook(NOTEBOOK, ("demo_config()", "demo_config(max_train_steps=12, sample_every_n_steps=6)"))
    assert list(tmp_path.glob("lora-widgets-demo*/*.safetensors"))


def test_the_kernel_can_be_found(monkeypatch, tmp_path):
    from jupyter_client.kernelspec import KernelSpecManager

    shutil.copytree(KERNEL, tmp_path / "lora-widgets")
    spec = KernelSpecManager(kernel_dirs=[str(tmp_path)]).get_kernel_spec("lora-widgets")
    assert spec.display_name == "LoRA training (Python)"
    assert spec.argv[1:3] == ["-m", "ipykernel_launcher"]
    assert spec.env["TOKENIZERS_PARALLELISM"] == "false"
    assert all(isinstance(value, str) for value in spec.env.values())


@pytest.mark.parametrize("side", [32, 64])
def test_the_kernel_has_its_logos(side):
    with Image.open(KERNEL / f"logo-{side}x{side}.png") as logo:
        assert logo.size == (side, side)


def test_the_kernels_folder_is_no_package():
    """Hugging Face has a package of that name, which a package here would hide."""
    assert list((REPOSITORY / "kernels").rglob("__init__.py")) == []
