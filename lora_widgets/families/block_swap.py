"""Blocks of a frozen transformer that wait in main memory and are on the GPU only while they compute."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lora_widgets.errors import ModelError
from lora_widgets.families.parts import PartPlace


class Mover(Protocol):
    """Where the weights of waiting blocks are, and how copies of them come to where they compute."""

    def keep(self, weight: Tensor) -> Tensor:
        """Return the weight where it waits."""
        ...

    def fetch(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """Begin to copy the weights of a block; the copies may be used once ``arrived`` has seen them."""
        ...

    def arrived(self, copies: Sequence[Tensor]) -> None:
        """See to it that what computes from now on finds the copies complete."""
        ...


class BlockSwap:
    """Fetches each block before it computes, forward and when checkpointing repeats it, and drops it after.

    Weights are copied one way only, for they never change. A copy is a parameter of its own: autograd keeps
    those that the backward pass of a block needs, and lets them go with it. While a block computes, the copy
    of its neighbour is under way. Parameters that a block gets later, as those of adapters, stay where they
    are.
    """

    def __init__(self, blocks: Sequence[nn.Module], mover: Mover) -> None:
        self._mover = mover
        self._places = [_places(block) for block in blocks]
        self._waiting = [[self._kept(*place) for place in places] for places in self._places]
        self._ahead: tuple[int, list[Tensor]] | None = None
        self._last = -1
        self._handles: list[Any] = []
        for index, block in enumerate(blocks):
            self._handles += (
                block.register_forward_pre_hook(lambda *_, index=index: self._enter(index)),
                # Checkpointing leaves a block by an exception once it has what it needs.
                block.register_forward_hook(lambda *_, index=index: self._leave(index), always_call=True),
            )

    def detach(self) -> None:
        """Leave the blocks as they wait, and fetch them no more."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._ahead = None

    def _kept(self, owner: nn.Module, name: str) -> nn.Parameter:
        owner._parameters[name] = kept = _frozen(self._mover.keep(owner._parameters[name]))  # pyright: ignore[reportArgumentType]
        return kept

    def _enter(self, index: int) -> None:
        copies = self._fetched(index)
        self._mover.arrived(copies)
        for (owner, name), copy in zip(self._places[index], copies, strict=True):
            owner._parameters[name] = _frozen(copy)
        backward = index <= self._last  # the last block is the first that is repeated
        following, self._last = index - 1 if backward else index + 1, index
        if 0 <= following < len(self._waiting):
            self._ahead = following, self._mover.fetch(self._waiting[following])

    def _leave(self, index: int) -> None:
        for (owner, name), kept in zip(self._places[index], self._waiting[index], strict=True):
            owner._parameters[name] = kept

    def _fetched(self, index: int) -> list[Tensor]:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == index:
            return ahead[1]
        return self._mover.fetch(self._waiting[index])


class CudaMover:
    """Keeps weights in pinned main memory and copies them beside the computation, on a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._begun: list[Any] = []

    def keep(self, weight: Tensor) -> Tensor:
        """Return the weight in pinned main memory.

        Raises:
            ModelError: the system gives no more of it.
        """
        try:
            return weight.detach().cpu().pin_memory()
        except RuntimeError as error:
            raise ModelError(
                f"`blocks_to_swap` needs pinned main memory, and the system gives no more of it ({error}). "
                "Lower it, or close other programs."
            ) from error

    def fetch(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """Begin to copy; wait where the program is more than a block ahead of the GPU."""
        # Copies of blocks that the GPU has not computed yet would pile up otherwise.
        while len(self._begun) > 1:
            self._begun.pop(0).synchronize()
        with torch.cuda.stream(self._stream):
            return [weight.to(self._device, non_blocking=True) for weight in weights]

    def arrived(self, copies: Sequence[Tensor]) -> None:
        """Let the computation wait for the copies, and their memory for the computation."""
        computation = torch.cuda.current_stream(self._device)
        computation.wait_stream(self._stream)
        for copy in copies:
            copy.record_stream(computation)
        self._begun.append(computation.record_event())


def has_another_memory(device: torch.device | str) -> bool:
    """Tell whether what computes on ``device`` can wait in another memory."""
    return torch.device(device).type == "cuda"


def load(
    place: PartPlace,
    device: torch.device | str,
    dtype: torch.dtype,
    *,
    stored_as: str,
    swapped: Callable[[Any], Sequence[nn.Module]] | None,
) -> Any:
    """Return a frozen transformer; the blocks that ``swapped`` chooses of it wait in main memory.

    All is on ``device`` where that has no memory of its own, or with ``swapped`` None.

    Raises:
        ModelError: the weights cannot be loaded, or it has fewer blocks than should wait.
    """
    if swapped is None or not has_another_memory(device):
        return place.load(device=device, dtype=dtype, stored_as=stored_as)
    model = place.load(device="cpu", dtype=dtype, stored_as=stored_as)
    swap(model, swapped(model), device)
    return model


def swap(model: nn.Module, blocks: Sequence[nn.Module], device: torch.device | str) -> None:
    """Move a model in main memory to ``device``, but for ``blocks``, in the order in which they compute."""
    BlockSwap(blocks, mover_for(torch.device(device)))
    waiting = {id(owner) for block in blocks for owner in block.modules()}
    for owner in model.modules():
        for name, weight in owner._parameters.items():
            if weight is not None and id(owner) not in waiting:
                owner._parameters[name] = _frozen(weight.to(device))
        for name, buffer in owner._buffers.items():
            owner._buffers[name] = None if buffer is None else buffer.to(device)


def mover_for(device: torch.device) -> Mover:
    """Return what moves blocks to a device."""
    return CudaMover(device)


def last_blocks(blocks: nn.ModuleList, count: int) -> list[nn.Module]:
    """Return the last blocks of a model.

    Raises:
        ModelError: it has fewer.
    """
    if count > len(blocks):
        raise ModelError(
            f"`blocks_to_swap` asks for {count} transformer blocks of one kind, but this model has "
            f"{len(blocks)}. Lower it."
        )
    return list(blocks)[len(blocks) - count :]


def _places(block: nn.Module) -> list[tuple[nn.Module, str]]:
    return [
        (owner, name)
        for owner in block.modules()
        for name, weight in owner._parameters.items()
        if weight is not None
    ]


def _frozen(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight, requires_grad=False)
