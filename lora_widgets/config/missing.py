"""What settings name and this machine does not have: files, folders and packages."""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from lora_widgets.catalog.optimizers import OPTIMIZERS
from lora_widgets.catalog.samplers import SAMPLERS
from lora_widgets.config.fields import FieldSpec, fields
from lora_widgets.config.memory import TRITON
from lora_widgets.config.misplaced import BASE_MODEL
from lora_widgets.config.setup import DEMO
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.config.weight_headers import is_weight_file

PATHS = tuple(spec for spec in fields(TrainingConfig) if spec.path)
"""The settings that are paths."""
_FOLDER = "train_data_dir"
_REPLACED_BY_A_FILE = (_FOLDER, "reg_data_dir")
_MADE_BY_THE_RUN = ("output_dir", "logging_dir", "cache_dir")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w-]*[\w.-]*/[\w.-]+")


def missing_paths(values: Mapping[str, object]) -> tuple[str, ...]:
    """Name the settings in effect whose file or folder must be there and is not."""
    return tuple(spec.name for spec in PATHS if _is_missing(spec, values))


def missing_packages() -> tuple[str, ...]:
    """Name the packages of optimizers, samplers and compiling that cannot be imported; none is imported.

    PyTorch is not among them: without it nothing trains, and no other choice would help.
    """
    modules = {row.package: row.import_path.partition(".")[0] for row in OPTIMIZERS.values()}
    modules |= {row.package: row.package for row in SAMPLERS.values() if row.package}
    modules[TRITON] = TRITON
    return tuple(name for name, module in modules.items() if module != "torch" and not _is_there(module))


def may_be_on_the_hub(base_model: str) -> bool:
    """Tell whether a base model could be the name of one on the Hugging Face hub."""
    return _HUB_NAME.fullmatch(base_model) is not None and not is_weight_file(base_model)


def _is_missing(spec: FieldSpec, values: Mapping[str, object]) -> bool:
    text = str(values.get(spec.name) or "").strip()
    if not text or spec.not_yet or spec.name in _MADE_BY_THE_RUN:
        return False
    when = spec.only_when
    if when is not None and values.get(when.setting) not in when.values:
        return False
    is_replaced = spec.name in _REPLACED_BY_A_FILE and bool(values.get("dataset_config"))
    if is_replaced or (spec.name == BASE_MODEL and may_be_on_the_hub(text)):
        return False
    if text == DEMO and spec.name in (_FOLDER, BASE_MODEL):
        return False
    try:
        return not Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long, no possible name, no home folder
        return True


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # loaded, but without a specification
        return True
