"""Train LoRAs for diffusion models inside a notebook.

The names below are the public interface; each is loaded when it is first used, so that importing the package
needs neither torch nor widgets.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

# A resumed run equals an uninterrupted one bit for bit. By default Intel's MKL, with which torch computes on
# a processor, lets the order of a sum depend on where arrays lie in memory. It reads this once, when it is
# first used.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

__version__ = "0.1.0"

_HOMES = {
    "TrainingConfig": "lora_widgets.config.training_config",
    "check": "lora_widgets.config.findings",
    "Facts": "lora_widgets.config.findings",
    "validate_training_config": "lora_widgets.config.findings",
    "load_config": "lora_widgets.config.files",
    "save_config": "lora_widgets.config.files",
    "demo_config": "lora_widgets.demo.config",
    "iter_training": "lora_widgets.training.start",
    "Control": "lora_widgets.training.control",
    "Run": "lora_widgets.training.run",
    "start": "lora_widgets.launch",
    "train": "lora_widgets.launch",
    "DatasetPreview": "lora_widgets.widgets.dataset_preview",
    "TrainingPanel": "lora_widgets.training_panel",
    "LoraFiles": "lora_widgets.lora_files_panel",
    "LoraWidgetsError": "lora_widgets.errors",
}

__all__ = [
    "Control",
    "DatasetPreview",
    "Facts",
    "LoraFiles",
    "LoraWidgetsError",
    "Run",
    "TrainingConfig",
    "TrainingPanel",
    "check",
    "demo_config",
    "iter_training",
    "load_config",
    "save_config",
    "start",
    "train",
    "validate_training_config",
]

if TYPE_CHECKING:
    from lora_widgets.config.files import load_config, save_config
    from lora_widgets.config.findings import Facts, check, validate_training_config
    from lora_widgets.config.training_config import TrainingConfig
    from lora_widgets.demo.config import demo_config
    from lora_widgets.errors import LoraWidgetsError
    from lora_widgets.launch import start, train
    from lora_widgets.lora_files_panel import LoraFiles
    from lora_widgets.training.control import Control
    from lora_widgets.training.run import Run
    from lora_widgets.training.start import iter_training
    from lora_widgets.training_panel import TrainingPanel
    from lora_widgets.widgets.dataset_preview import DatasetPreview


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
