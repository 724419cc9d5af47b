"""Tests of lora_widgets/training_panel.py."""

import subprocess
import sys

from lora_widgets import TrainingPanel, demo_config
from lora_widgets.widgets.panel import Panel


def test_start_is_that_of_the_engine(tmp_path):
    import lora_widgets.launch

    panel = TrainingPanel(demo_config(output_dir=str(tmp_path / "out")))
    assert isinstance(panel, Panel)
    assert panel._session._start is lora_widgets.launch.start


def test_scripts_that_train_load_no_widgets_and_the_panel_loads_no_torch():
    code = """
import sys, lora_widgets
lora_widgets.start
assert "ipywidgets" not in sys.modules
lora_widgets.TrainingPanel(lora_widgets.demo_config())
assert not {"torch", "matplotlib"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
