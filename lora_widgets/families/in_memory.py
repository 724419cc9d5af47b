"""The parts of a base model that are in memory: they come and go, and what is used must be there."""

import ctypes
import gc
import sys
from typing import Any

import torch
from torch import nn


def loaded(part: Any, name: str) -> Any:
    """Return a part of a model; using one that is not loaded is a mistake in the program."""
    if part is None:
        raise RuntimeError(f"The {name} of the base model is not loaded; this is a mistake in the program.")
    return part


def free_memory() -> None:
    """Give back the memory of what was just forgotten."""
    gc.collect()
    give_back_pages()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def give_back_pages() -> None:
    """Let the C library return what it keeps for later: after a model that is much, and seldom fits again."""
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library than GNU's
        return


def let_checkpoints_act(root: nn.Module) -> None:
    """Put only the checkpointed blocks in training mode, which is when they recompute; dropouts stay off."""
    for module in root.modules():
        if getattr(module, "gradient_checkpointing", False):
            module.training = True
