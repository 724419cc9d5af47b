"""The parts of a base model that are in memory: they come and go, and what is used must be there."""

import ctypes
import gc
import os
import sys
from typing import Any

import torch
from torch import nn

# GNU's mallopt: what is larger has pages of its own, and how much free memory at the end is kept for later.
_THRESHOLDS = {-3: 2**20, -1: 64 * 2**20}
_USERS_OWN = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


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


def keep_large_blocks_apart() -> None:
    """Let the C library give each large block of memory pages of its own, which go back when it is free.

    By itself it raises the size from which it does so up to 32 MB, the larger the blocks are that were freed:
    activations then lie between each other, and what is free between them stays taken. On a processor that
    is a third of the memory of a training phase. Where the user has tuned the library, nothing is changed.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _USERS_OWN):
        return
    try:
        for name, size in _THRESHOLDS.items():
            ctypes.CDLL(None).mallopt(name, size)
    except (OSError, AttributeError):  # another C library than GNU's
        return


def let_checkpoints_act(root: nn.Module) -> None:
    """Put only the checkpointed blocks in training mode, which is when they recompute; dropouts stay off."""
    for module in root.modules():
        if getattr(module, "gradient_checkpointing", False):
            module.training = True
