"""Writing an adapter file in each of its formats, and where it is on disk."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lora_widgets.errors import ConfigError
from lora_widgets.lora_files.safetensors_file import write_tensors, written_whole

NAME_IN_FOLDER = "pytorch_lora_weights.safetensors"
"""What diffusers looks for in a folder."""
PICKLES = (".ckpt", ".pt")


def file_of(path: Path) -> Path:
    """Return the file with the tensors of saved weights, which may be a folder for diffusers."""
    return path if path.suffix in (".safetensors", *PICKLES) else path / NAME_IN_FOLDER


def write_lora(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors of the CPU; the ending says how: .safetensors, .ckpt, .pt, or a folder without one.

    Pickles hold the tensors alone. A crash leaves the file absent, old, or complete.
    """
    file = file_of(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix in PICKLES:
        with written_whole(file) as opened:
            torch.save(dict(tensors), opened)
    else:
        write_tensors(file, tensors, metadata)


def refuse_existing(path: Path) -> None:
    """Make sure that nothing is overwritten.

    Raises:
        ConfigError: there is something, or no folder for it; the text offers a free name.
    """
    if not path.parent.is_dir():
        raise ConfigError(f"{path} cannot be written: there is no folder {path.parent}. Make it first.")
    if path.exists():
        number = next(n for n in range(2, 10_000) if not _numbered(path, n).exists())
        raise ConfigError(
            f"{path} exists already, and nothing is overwritten. Choose another name, such as "
            f"{_numbered(path, number).name}."
        )


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")
