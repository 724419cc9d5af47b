import importlib.util
import inspect
import subprocess
import sys

import pytest

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.catalog.formats import PRECISIONS, SAVE_FORMATS, SAVE_PRECISIONS, TRACKERS
from lora_widgets.catalog.lora_types import LORA_TYPES, types_reading
from lora_widgets.catalog.lr_schedules import LR_SCHEDULES
from lora_widgets.catalog.optimizers import OPTIMIZERS
from lora_widgets.catalog.samplers import SAMPLERS
from lora_widgets.config.arguments import parse_arguments
from lora_widgets.config.training_config import TrainingConfig

TABLES = {
    "families": FAMILIES,
    "lora_types": LORA_TYPES,
    "optimizers": OPTIMIZERS,
    "lr_schedules": LR_SCHEDULES,
    "samplers": SAMPLERS,
    "save_formats": SAVE_FORMATS,
    "precisions": PRECISIONS,
    "save_precisions": SAVE_PRECISIONS,
    "trackers": TRACKERS,
}
PLANNED_OPTIMIZERS = [
    *(
        "AdamW",
        "AdamW8bit",
        "PagedAdamW8bit",
        "PagedAdamW32bit",
        "Lion8bit",
        "PagedLion8bit",
        "SGDNesterov8bit",
    ),
    *("DAdaptation", "DAdaptAdam", "DAdaptAdaGrad", "DAdaptAdan", "DAdaptSGD", "DAdaptLion", "Prodigy"),
    "Adafactor",
]


@pytest.mark.parametrize("name", TABLES)
def test_rows_are_found_under_their_own_name_and_some_are_active(name):
    table = TABLES[name]
    assert all(row.name == key for key, row in table.items())
    assert any(getattr(row, "active", True) for row in table.values())


def test_all_planned_choices_are_there():
    assert set(PLANNED_OPTIMIZERS) <= set(OPTIMIZERS)
    assert len(LORA_TYPES) == 11
    assert list(FAMILIES) == ["SD1.5", "SDXL", "Flux", "SD3"]
    assert list(SAVE_FORMATS) == ["safetensors", "ckpt", "pt", "diffusers"]
    assert {"ddim", "pndm", "lms", "euler", "euler_a", "heun", "dpm_2", "dpmsolver++"} <= set(SAMPLERS)


def test_rows_read_settings_that_exist():
    for table in (LORA_TYPES, LR_SCHEDULES):
        for row in table.values():
            assert row.reads <= set(TrainingConfig.model_fields), row.name
    assert types_reading("factor") == ("LoKR",)


@pytest.mark.parametrize("row", OPTIMIZERS.values(), ids=lambda row: row.name)
def test_defaults_of_optimizers_are_arguments_of_the_right_kind(row):
    for name, value in row.defaults.items():
        assert row.arguments[name].accepts(value), name
    for name, kind in row.arguments.items():
        assert kind.accepts(parse_arguments(f"{name}={kind.example}")[name]), name
    assert row.usual[0] <= row.usual[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # diffusers with numpy 2
@pytest.mark.parametrize("row", SAMPLERS.values(), ids=lambda row: row.name)
def test_every_sampler_can_be_built(row):
    if row.package and importlib.util.find_spec(row.package) is None:
        pytest.skip(f"{row.package} is not installed")
    module, _, name = row.import_path.rpartition(".")
    scheduler = getattr(importlib.import_module(module), name)
    built = scheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **row.arguments)
    built.set_timesteps(4)
    assert {name: built.config[name] for name in row.arguments} == row.arguments


@pytest.mark.slow
@pytest.mark.parametrize("row", OPTIMIZERS.values(), ids=lambda row: row.name)
def test_optimizers_accept_the_arguments_their_rows_name(row):
    pytest.importorskip(row.import_path.partition(".")[0])
    module, _, kind = row.import_path.rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(module), kind)).parameters
    assert row.arguments.keys() | {"lr", "weight_decay"} <= set(parameters)


def test_catalog_and_config_never_import_torch_or_widgets():
    code = (
        "import sys, lora_widgets.config.files, lora_widgets.config.reference;"
        "print([name for name in ('torch', 'ipywidgets', 'diffusers', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
