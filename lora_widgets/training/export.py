"""Writing the LoRA file: checked, cast, written under another name first, and read back."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from lora_widgets.adapters.keys import read_lora_file
from lora_widgets.errors import StateError, TrainingError
from lora_widgets.lora_files.finite import all_finite
from lora_widgets.lora_files.writing import file_of, write_lora


def write_weights(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, dtype: torch.dtype
) -> None:
    """Write an adapter's tensors in the format of the path's ending, and check that the file reads the same.

    Raises:
        TrainingError: a number is not finite, or the file cannot be written or reads back differently.
    """
    ready = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in tensors.items()}
    refuse_not_finite(tensors, ready, dtype=dtype)
    try:
        write_lora(path, ready, metadata)
        same = _reads_as(file_of(path), ready)
    except (OSError, SafetensorError, StateError) as error:
        raise TrainingError(
            f"{path} could not be written ({error}). Free some disk space or choose another `output_dir`, "
            "then resume from the last state."
        ) from error
    if not same:
        raise TrainingError(
            f"{path} reads back differently from what was written. Check the disk of `output_dir`."
        )


def refuse_not_finite(
    tensors: Mapping[str, Tensor], ready: Mapping[str, Tensor], *, dtype: torch.dtype
) -> None:
    """Make sure that nothing that would spoil every picture is written; earlier files stay as they are.

    Raises:
        TrainingError: a tensor holds NaN or infinity, or would in the number format of the file.
    """
    spoilt = [name for name, tensor in ready.items() if not all_finite(tensor)]
    if not spoilt:
        return
    count = f"{len(spoilt)} of {len(ready)} tensors, such as {spoilt[0]},"
    if all(all_finite(tensors[name]) for name in spoilt):
        raise TrainingError(
            f"{count} have numbers too large for {str(dtype).removeprefix('torch.')}, so nothing was saved. "
            'Set `save_precision` to "bf16" or "float" and resume from the last state.'
        )
    raise TrainingError(
        f"{count} are no numbers any more (NaN or infinite), so they were not saved; earlier files are as "
        "they were. Go on from an earlier one with a lower learning rate, or with `mixed_precision` bf16."
    )


def _reads_as(file: Path, tensors: Mapping[str, Tensor]) -> bool:
    found, _ = read_lora_file(file)
    return found.keys() == tensors.keys() and all(
        torch.equal(_bytes(found[name]), _bytes(tensor)) for name, tensor in tensors.items()
    )


def _bytes(tensor: Tensor) -> Tensor:
    """Return the bytes of a tensor: compared so, a zero with a sign is not one without."""
    return tensor.reshape(-1).view(torch.uint8)
