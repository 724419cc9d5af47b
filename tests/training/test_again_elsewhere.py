"""Adapters of every type in another process, after a stop, and as the start of another run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from runs import assert_same_weights, run
from safetensors.torch import load_file

from lora_widgets.adapters.attach import attach
from lora_widgets.adapters.keys import read_lora_file
from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.config.files import load_config
from lora_widgets.families.family import open_family
from lora_widgets.training.randomness import generator_for

DEMANDING = {
    "network_dropout": 0.1,
    "rank_dropout": 0.1,
    "module_dropout": 0.1,
    "unet_lr": 1e-3,
    "text_encoder_lr": 1e-3,
    "t5xxl_max_token_length": 16,
}
WIDE = {"BOFT": {"network_dim": 18}}  # below, it cannot divide every layer into blocks
TRIED_ON_ALL = LORA_TYPES if os.environ.get("LORA_WIDGETS_EVERY_CELL") else ("LoKR", "DoRA")
CASES = [
    *(("SD1.5", name) for name in LORA_TYPES),
    *((family, name) for family in ("SDXL", "Flux", "SD3") for name in TRIED_ON_ALL),
]


@pytest.fixture(scope="module")
def finished():
    """Configurations of whole runs, by family and type; what they left is there for every test."""
    return {}


@pytest.fixture
def finished_run(config_of, tmp_path, finished):
    """Return a function that returns the configuration of a whole run, which is run at its first use."""

    def found(family, lora_type):
        if (family, lora_type) not in finished:
            sizes, place = WIDE.get(lora_type, {}), str(tmp_path / f"{family} {lora_type}")
            config = config_of(family, **DEMANDING, **sizes, lora_type=lora_type, output_dir=place)
            run(config)
            finished[family, lora_type] = config
        return finished[family, lora_type]

    return found


@pytest.mark.slow
@pytest.mark.parametrize(("family", "lora_type"), CASES)
def test_a_run_of_any_type_goes_on_bit_by_bit(finished_run, tmp_path, family, lora_type):
    whole = finished_run(family, lora_type)
    parts = whole.with_changes(output_dir=str(tmp_path / "parts"))
    run(parts, stop_after=2)
    run(parts.with_changes(resume="latest"))
    assert_same_weights(parts, whole)


def answers(settings, weights):
    """Return what each module of the adapter in a file adds to the same inputs, as numbers."""
    torch.set_num_threads(1)
    config = load_config(settings)
    family = open_family(config)
    family.load_denoiser("cpu", torch.float32)
    family.text.load("cpu", torch.float32)
    adapter = attach(family, config, generator=generator_for(0, "adapter"))
    adapter.load_tensors(read_lora_file(Path(weights))[0], source=weights)
    adapter.mode(training=False)
    found = {}
    for target in adapter.layers():
        layer, member = target.part.target.layer, target.part.target.members[0]
        shape = (2, layer.weight.shape[1], *([5, 5] if layer.weight.dim() == 4 else []))
        question = torch.linspace(-1, 1, 2 * layer.weight.shape[1] * (25 if len(shape) == 4 else 1))
        with torch.no_grad():
            found[target.name] = target.maths.change(question.reshape(shape), member).flatten().tolist()
    return found


@pytest.mark.slow
def test_another_process_gets_the_same_answers(finished_run):
    """One process answers for every type: to start it takes longer than all of the answers."""
    files = {}
    for family, lora_type in CASES:
        folder = Path(finished_run(family, lora_type).output_dir)
        files[folder.name] = [str(folder / f"tiny.{end}") for end in ("config.toml", "safetensors")]
    program = (
        f"import json, sys; sys.path[:0] = {[*sys.path, str(Path(__file__).parent)]!r}\n"
        "from test_again_elsewhere import answers\n"
        f"print(json.dumps({{name: answers(*own) for name, own in {files!r}.items()}}))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    theirs = json.loads(said.splitlines()[-1])
    for name, own in files.items():
        ours = answers(*own)
        assert any(any(numbers) for numbers in ours.values()), name
        assert theirs[name] == ours, name


@pytest.mark.slow
@pytest.mark.parametrize("lora_type", LORA_TYPES)
def test_a_run_begins_with_a_file_of_any_type(finished_run, tmp_path, lora_type):
    """With no learning rate to speak of, the second run saves what it began with."""
    first = finished_run("SD1.5", lora_type)
    file = Path(first.output_dir) / "tiny.safetensors"
    begun = first.with_changes(
        continue_from_lora=str(file),
        output_dir=str(tmp_path / "next"),
        unet_lr=1e-30,
        text_encoder_lr=1e-30,
        weight_decay=0.0,
        max_train_steps=1,
    )
    run(begun)
    ours, theirs = load_file(tmp_path / "next" / "tiny.safetensors"), load_file(file)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-5, atol=1e-6)
