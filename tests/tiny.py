"""Random-weight models in miniature, SD1.5 and SDXL, with the real layout of folders and names.

`golden/tiny_*.spec.json.xz` hold names, shapes, configuration files and checksums; the weights follow from a
seed, bit by bit. The recorded numbers of other golden files were made with these very models by an
independent trainer, so a checksum that differs means those numbers say nothing.
"""

import hashlib
import json
import lzma
import math
from pathlib import Path

import torch
from safetensors.torch import save_file

GOLDEN = Path(__file__).parent / "golden"


def make_tiny_sd15(folder: Path | str) -> Path:
    """Write Stable Diffusion 1.5 in miniature as a diffusers folder and return the folder."""
    return _make("tiny_sd15", Path(folder))


def make_tiny_sdxl(folder: Path | str) -> Path:
    """Write Stable Diffusion XL in miniature as a diffusers folder and return the folder."""
    return _make("tiny_sdxl", Path(folder))


def _make(name: str, folder: Path) -> Path:
    with lzma.open(GOLDEN / f"{name}.spec.json.xz") as file:
        spec = json.load(file)
    for name, text in spec["texts"].items():
        _place(folder, name).write_bytes(text.encode())
    for name, part in spec["weights"].items():
        weights = _weights(part["seed"], part["shapes"])
        assert _checksum(weights) == part["sha256"], f"{name}: this torch draws other numbers"
        save_file(weights, _place(folder, name), metadata={"format": "pt"})
    return folder


def _place(folder: Path, name: str) -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    return folder / name


def _weights(seed: int, shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: _weight(name, shapes[name], generator) for name in sorted(shapes)}


def _weight(name: str, shape: list[int], generator: torch.Generator) -> torch.Tensor:
    drawn = torch.randn(shape, generator=generator)
    if len(shape) > 1:
        drawn = drawn * (0.3 if "embed" in name else (1.0 / math.prod(shape[1:])) ** 0.5)
    elif name.endswith(("weight", "scale")):
        drawn = 1 + 0.1 * drawn
    else:
        drawn = 0.05 * drawn
    return drawn.half().float()


def _checksum(weights: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
