"""What the backward pass needs waits in main memory: with checkpointing, the inputs of the blocks."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from lora_widgets.config.memory import Memory

_SMALL = 2**16
"""Numbers up to which a tensor stays: to move it takes longer than it is worth."""
Kept = tuple[torch.device, Tensor]


def checkpoints_waiting(settings: Memory, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a forward pass whose checkpoints wait as `cpu_offload_checkpointing` asks.

    Where the device computes in main memory, nothing is moved.
    """
    asked = settings.gradient_checkpointing and settings.cpu_offload_checkpointing
    return waiting(to_main_memory) if asked and device.type == "cuda" else nullcontext()


def waiting(move: Callable[[Tensor], Tensor]) -> AbstractContextManager[object]:
    """Return a context in which what autograd keeps is what ``move`` returns, fetched back when needed.

    Weights stay where they are, and so does all without a history: it is the same for every block, as times
    and places are.
    """

    def keep(tensor: Tensor) -> Kept:
        moves = not tensor.is_leaf and tensor.numel() > _SMALL
        return tensor.device, move(tensor) if moves else tensor

    def fetch(kept: Kept) -> Tensor:
        device, tensor = kept
        return tensor.to(device, non_blocking=True)

    return torch.autograd.graph.saved_tensors_hooks(keep, fetch)


def to_main_memory(tensor: Tensor) -> Tensor:
    """Return a copy in pinned main memory, which the GPU fills while the program goes on."""
    # The copies to and fro are in the GPU's own order, so that none is read before it is complete.
    copy = torch.empty_like(tensor, device="cpu", pin_memory=True)
    return copy.copy_(tensor, non_blocking=True)
