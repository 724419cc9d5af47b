"""Random-weight models in miniature, of every family, in the real layouts of folders, files and names.

`golden/tiny_models.spec.json.xz` holds names, shapes, configuration files and checksums; the weights follow
from seeds, bit by bit. The recorded numbers of other golden files were made with these very models by an
independent trainer (kohya-ss/sd-scripts at 48d368f), so a checksum that differs means those numbers say
nothing. The single files have the names and the order of rows that this trainer reads and writes.
"""

import base64
import hashlib
import json
import lzma
import math
import os
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"
_LONG_AGO = time.time() - 3600
MODEL_TYPES = {"sdxl": "SDXL", "flux": "Flux", "sd3": "SD3", "sd": "SD1.5"}
"""Families by the words in the names of folders and files."""


def make_tiny(name: str, folder: Path | str) -> Path:
    """Write a model such as "sd15", "sdxl", "flux-dev", "sd3" or "sd35m" as a diffusers folder; return it."""
    folder, start = Path(folder), f"tiny-{name}/"
    for file, (key, kind) in _spec()["text_files"].items():
        if file.startswith(start):
            text = _spec()["texts"][key]
            content = base64.b64decode(text) if kind == "b64" else text.encode()
            _place(folder, file.removeprefix(start)).write_bytes(content)
    for file in _spec()["files"]:
        if file.startswith(start):
            _save(tiny_tensors(file), _place(folder, file.removeprefix(start)))
    for file in folder.rglob("*"):
        os.utime(file, (_LONG_AGO, _LONG_AGO))  # as if it had been downloaded before
    return folder


def make_tiny_file(name: str, folder: Path | str) -> Path:
    """Write a single file such as "tiny-sdxl.safetensors" or "tiny-t5xxl.safetensors"; return its path."""
    path = _place(Path(folder), name)
    _save(tiny_tensors(name), path)
    return path


def settings_for(
    model: Path, *, trains_unet: bool = True, trains_text_encoder: bool = True, **changes: Any
) -> Any:
    """Return a configuration with a small adapter for the tiny model in a folder or file."""
    from lora_widgets.config.training_config import TrainingConfig

    values = {
        "project_name": "tiny",
        "model_type": next(name for word, name in MODEL_TYPES.items() if word in model.name),
        "pretrained_model_name_or_path": str(model),
        "train_data_dir": ".",
        "output_dir": "out",
        "no_half_vae": True,
        "t5xxl_max_token_length": 64,
        "clip_skip": 1,
        "network_dim": 4,
        "network_alpha": 2.0,
        "conv_dim": 4,
        "conv_alpha": 2.0,
        "unet_lr": 1e-4 * trains_unet,
        "text_encoder_lr": 1e-4 * trains_text_encoder,
    }
    return TrainingConfig(**(values | changes))


def module_of(family: Any, part: str) -> Any:
    """Return the loaded module of a part such as "vae", "clip_l" or "unet"."""
    found = family.t5.encoder if part == "t5" else getattr(family, part)
    return getattr(found, "model", found)


def tiny_tensors(file: str) -> dict[str, Tensor]:
    """Return the weights of one file of the spec by name."""
    tensors = {name: _tensor(recipe) for name, recipe in _spec()["files"][file].items()}
    assert _checksum(tensors) == _spec()["sha256"][file], f"{file}: this torch draws other numbers"
    return tensors


@cache
def _spec() -> dict[str, Any]:
    with lzma.open(GOLDEN / "tiny_models.spec.json.xz") as file:
        return json.load(file)


@cache
def _group(name: str) -> dict[str, Tensor]:
    """Return the weights that files are made of; they are shared, so nobody may write to them."""
    seed, shapes = _spec()["groups"][name]
    generator = torch.Generator().manual_seed(seed)
    return {name: _drawn(name, shapes[name], generator) for name in sorted(shapes)}


def _drawn(name: str, shape: list[int], generator: torch.Generator) -> Tensor:
    drawn = torch.randn(shape, generator=generator)
    if len(shape) > 1:
        drawn = drawn * (0.3 if "embed" in name else (1.0 / math.prod(shape[1:])) ** 0.5)
    elif name.endswith(("weight", "scale")):
        drawn = 1 + 0.1 * drawn
    else:
        drawn = 0.05 * drawn
    return drawn.half().float()


def _tensor(recipe: dict[str, Any]) -> Tensor:
    if "special" in recipe:
        return _positions(recipe["shape"])
    if "const" in recipe:
        return torch.full(recipe["shape"], recipe["const"])
    if "arange" in recipe:
        return torch.arange(math.prod(recipe["arange"])).reshape(recipe["arange"])
    rows = [_group(group)[name] for group, name, _, _ in recipe["parts"]]
    rows = [
        tensor if end is None else tensor[begin:end]
        for tensor, (_, _, begin, end) in zip(rows, recipe["parts"], strict=True)
    ]
    whole = torch.cat([t.reshape(t.shape[0], -1) if t.ndim else t.reshape(1, 1) for t in rows])
    return (whole.t() if recipe.get("T") else whole).contiguous().reshape(recipe["shape"]).clone()


def _positions(shape: list[int]) -> Tensor:
    """Return SD3's table of positions (1, side * side, D): sines and cosines of a grid, scaled by 16 / 24."""
    side, width = round(shape[1] ** 0.5), shape[2]
    at = torch.arange(side, dtype=torch.float32) / (24 / 16)
    rows, columns = torch.meshgrid(at, at, indexing="ij")
    table = torch.cat([_waves(columns, width // 2), _waves(rows, width // 2)], dim=1)
    return table.float().reshape(shape)


def _waves(at: Tensor, width: int) -> Tensor:
    steps = torch.arange(width // 2, dtype=torch.float64) / (width / 2)
    angles = torch.outer(at.flatten().double(), 1.0 / 10000**steps)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    save_file({name: t.contiguous() for name, t in tensors.items()}, path, metadata={"format": "pt"})


def _place(folder: Path, name: str) -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    return folder / name


def _checksum(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
