"""Adapters of random numbers with the names that an independent trainer wrote."""

import json
import lzma
from functools import cache
from pathlib import Path

import torch

from lora_widgets.lora_files.fusing import strength

GOLDEN = Path(__file__).parent / "golden"
FAMILIES = {"sd15": "SD1.5", "sdxl": "SDXL", "flux": "Flux", "sd3": "SD3", "sd35m": "SD3"}
VERSIONS = {"SD1.5": "sd_v1", "SDXL": "sdxl_base_v1-0", "Flux": "flux1", "SD3": "sd3-medium"}


@cache
def recorded():
    """Return the recorded cases: family, arguments, and name, shape and value of every tensor.

    kohya's DyLoRA calls both text encoders of SDXL alike, and its OFT is another type than ours.
    """
    with lzma.open(GOLDEN / "lora_file_keys.json.xz") as file:
        cases = json.load(file)["cases"]
    others = ("networks.oft", "networks.dylora")
    return [case for case in cases if case.get("keys") and case["network_module"] not in others]


def random_adapter(case, seed=0):
    """Return the tensors of a recorded case with random numbers; scalars are as recorded."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator) if shape else torch.tensor(float(value))
        for name, shape, _, value in case["keys"]
    }


def first_case(model):
    """Return the plainest recorded case of a tiny model."""
    return next(case for case in recorded() if case["family"] == model)


def change_of(tensors):
    """Return the change that low-rank tensors make, without the code under test."""
    down, up = tensors["lora_down.weight"].double(), tensors["lora_up.weight"].double()
    return up.flatten(1) @ down.flatten(1) * strength(tensors)


def quiet(_done, _total):
    """Show no progress."""
