"""Panels whose runs train nothing, for tests in both environments; kernels of browser tests import them."""

import os
import tempfile
import time

import ipywidgets
from fake_run import FakeRun
from other_values import REQUIRED, entered, other_values

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.demo.config import demo_config
from lora_widgets.events import Failed
from lora_widgets.widgets.panel import Panel

__all__ = [
    "REQUIRED",
    "TrainingConfig",
    "demo",
    "entered",
    "forget_everything",
    "new_panel",
    "other_values",
    "starters",
]

starters = []


class Run(FakeRun):
    """A run that trains nothing; broken down, it says so as a real one does."""

    def _train(self):
        try:
            super()._train()
        except ValueError as error:
            self.listener(Failed(f"ValueError: {error}", "Lower the learning rate.", None))
            raise


class Starter:
    """Starts such runs for a panel, and remembers them and their configurations."""

    def __init__(self, **options):
        self.options, self.configs, self.runs = options, [], []
        starters.append(self)

    def __call__(self, config, *, listeners=()):
        def tell(event):
            for listener in listeners:
                listener(event)

        self.configs.append(config)
        self.runs.append(Run(tell, folder=config.output_dir, **self.options))
        return self.runs[-1].start()


def new_panel(config=None, **options):
    """Make a panel for ``config`` or the demo, in a new working folder; its runs have ``options``."""
    os.chdir(tempfile.mkdtemp(prefix="panel-"))
    return Panel(config or demo(), start=Starter(**options))


def demo(**changes):
    """Make a configuration of known length: 16 pictures, each ten times, in batches of 8 for 160 steps."""
    return demo_config(**{"project_name": "zork", "train_batch_size": 8, "max_train_steps": 160, **changes})


def forget_everything():
    """End all runs and close all widgets."""
    for starter in starters:
        for run in starter.runs:
            run.stop()
            run.done.wait(10)
    starters.clear()
    time.sleep(0.05)  # what waits for a run may still have something to say
    ipywidgets.Widget.close_all()
