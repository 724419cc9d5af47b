"""Tests of lora_widgets/widgets/frontend.py."""

import subprocess
import sys

import IPython
import pytest

from lora_widgets.widgets.frontend import in_notebook


def test_a_script_is_no_notebook():
    assert not in_notebook()


def test_a_kernel_is_a_notebook(monkeypatch):
    class Shell:
        kernel = object()

    monkeypatch.setattr(IPython, "get_ipython", Shell)
    assert in_notebook()


def test_the_ipython_prompt_is_no_notebook(monkeypatch):
    monkeypatch.setattr(IPython, "get_ipython", object)
    assert not in_notebook()


@pytest.mark.parametrize("module", ["monitor", "waiting", "frontend", "picture"])
def test_torch_is_not_imported(module):
    code = f"import sys; import lora_widgets.widgets.{module}; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
