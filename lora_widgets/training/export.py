"""Writing the LoRA file: cast, described, hashed, written under another name first, and read back."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from lora_widgets.errors import TrainingError
from lora_widgets.training.metadata import with_hashes


def write_weights(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, dtype: torch.dtype
) -> None:
    """Write an adapter's tensors to a .safetensors file, atomically, and check that the file reads the same.

    Raises:
        TrainingError: the file cannot be written, or reads back differently.
    """
    ready = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in tensors.items()}
    plain = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    content = save(ready, with_hashes(metadata, save(ready, plain)))
    try:
        write_atomically(path, content)
        same = _reads_as(path, ready)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{path} could not be written ({error}). Free some disk space or choose another "
            f"`output_dir`, then "
            "resume from the last state."
        ) from error
    if not same:
        raise TrainingError(
            f"{path} reads back differently from what was written. Check the disk of `output_dir`."
        )


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either absent, old, or complete; a crash in between cannot tear it."""
    fresh = path.with_name(f".{path.name}.part")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _reads_as(path: Path, tensors: Mapping[str, Tensor]) -> bool:
    found = load_file(path)
    return found.keys() == tensors.keys() and all(
        torch.equal(_bytes(found[name]), _bytes(tensor)) for name, tensor in tensors.items()
    )


def _bytes(tensor: Tensor) -> Tensor:
    """Return the bytes of a tensor: compared so, a NaN equals itself."""
    return tensor.reshape(-1).view(torch.uint8)
