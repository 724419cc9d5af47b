"""A random-weight Stable Diffusion 1.5 in miniature, with the real layout of folders and names.

`golden/tiny_sd15.spec.json.xz` holds names, shapes, configuration files and checksums; the weights follow
from a seed, bit by bit. The recorded numbers of other golden files were made with this very model by an
independent trainer, so a checksum that differs means those numbers say nothing.
"""

import hashlib
import json
import lzma
import math
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SPEC = Path(__file__).parent / "golden" / "tiny_sd15.spec.json.xz"
SINGLE_FILE = Path(__file__).parent / "golden" / "sd15_single_file.json.xz"


def make_tiny_sd15(folder: Path | str) -> Path:
    """Write the model as a diffusers folder and return the folder."""
    folder = Path(folder)
    with lzma.open(SPEC) as file:
        spec = json.load(file)
    for name, text in spec["texts"].items():
        _place(folder, name).write_bytes(text.encode())
    for name, part in spec["weights"].items():
        weights = _weights(part["seed"], part["shapes"])
        assert _checksum(weights) == part["sha256"], f"{name}: this torch draws other numbers"
        save_file(weights, _place(folder, name), metadata={"format": "pt"})
    return folder


def tensors_of_single_file(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights of the model in ``folder`` as a single file in LDM layout holds them."""
    with lzma.open(SINGLE_FILE) as file:
        names = json.load(file)["names"]
    parts = {part: load_file(folder / part) for part in {part for part, _, _ in names.values()}}
    return {name: parts[part][theirs].reshape(shape) for name, (part, theirs, shape) in names.items()}


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
