"""The repeated blocks of the denoiser, compiled for training: one graph for all that are equal."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from inspect import signature
from itertools import tee
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lora_widgets.data.dataset import Batch
from lora_widgets.events import Notice
from lora_widgets.families.repeated_blocks import repeated_blocks
from lora_widgets.training.out_of_memory import is_out_of_memory

Result = TypeVar("Result")
_FAILURES = (RuntimeError, OSError)
"""What torch and its compilers raise; checkpointing too, where one graph computed forward, and another
that fits as well computes the same again."""
MOST_GRAPHS = 64
"""Graphs of one class of blocks: a UNet has blocks of several widths, and batches have sizes."""
BEGINS = Notice(
    "info",
    "`torch_compile` is on: the first steps compile the blocks of the denoiser, which takes minutes.",
)


class CompiledBlocks:
    """Lets the repeated blocks of a denoiser compute compiled wherever gradients are asked.

    Samples are drawn as without it: their sizes would each be compiled, for a few pictures. With ``dynamic``
    one graph serves all sizes, without it each size has a faster graph of its own.
    """

    def __init__(
        self, denoiser: nn.Module, *, dynamic: bool, backend: str | Callable[..., Any] = "inductor"
    ) -> None:
        self._blocks: list[nn.Module] = []
        self._settings = ExitStack()
        for patch in _settings():
            self._settings.enter_context(patch)
        compiled: dict[type, Callable[..., Any]] = {}
        for block, stream in repeated_blocks(denoiser):
            kind = type(block)
            if kind not in compiled:  # the method of the class, so that all blocks of it share their graphs
                compiled[kind] = torch.compile(kind.forward, dynamic=dynamic, backend=backend)
            block.forward = _Compiled(block, compiled[kind], stream)
            self._blocks.append(block)

    def detach(self) -> None:
        """Let the blocks compute as before; calling it twice does no harm."""
        for block in self._blocks:
            block.__dict__.pop("forward", None)
        self._blocks.clear()
        self._settings.close()

    def __len__(self) -> int:
        """Return how many blocks are compiled."""
        return len(self._blocks)


class _Compiled:
    """What stands in for the ``forward`` of one block."""

    def __init__(self, block: nn.Module, compiled: Callable[..., Any], stream: Sequence[str]) -> None:
        self._block, self._plain, self._compiled = block, block.forward, compiled
        self._names, self._stream = tuple(signature(block.forward).parameters), stream

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return self._plain(*args, **kwargs)
        inputs = {**dict(zip(self._names, args, strict=False)), **kwargs}
        for name in self._stream:
            if inputs.get(name) is not None:
                inputs[name] = _as_later(inputs[name])
        return self._compiled(self._block, **inputs)


def _as_later(input: Tensor) -> Tensor:
    """Return what the first block of a row is given in the form in which later ones get it.

    Else it would be compiled apart from them: its input has no history yet, or is a part of another tensor.
    """
    input = input.contiguous()
    return input if input.requires_grad else input.detach().requires_grad_()


def _settings() -> Iterator[Any]:
    """Yield settings of torch for the time of a run: to fail aloud, and to take no equal sizes for one."""
    from torch._dynamo import config as dynamo
    from torch.fx.experimental import _config as shapes

    # Of too many graphs torch says nothing to the user and goes on without; here it is an error, told as any.
    yield dynamo.patch(recompile_limit=MOST_GRAPHS, fail_on_recompile_limit_hit=True)
    # By default a batch with as many tokens as the layer has channels is taken for the rule.
    yield shapes.patch(use_duck_shape=False)  # pyright: ignore[reportAttributeAccessIssue] - torch adds it


def with_retry(
    step: Callable[[Iterator[Batch]], Result],
    batches: Iterator[Batch],
    *,
    give_up: Callable[[Exception], None],
) -> Result:
    """Return what ``step`` returns; where it fails, ``give_up`` and do it again with the same batches.

    What has nothing to do with compiling fails again.
    """
    ours, again = tee(batches)
    try:
        return step(ours)
    except _FAILURES as error:
        if is_out_of_memory(error):
            raise
        give_up(error)
    return step(again)


def not_compiled(error: Exception) -> Notice:
    """Say that the run goes on without, and why."""
    logging.getLogger(__name__).info("torch.compile failed", exc_info=error)
    inner = getattr(error, "inner_exception", error)  # the others say first that a compiler failed
    lines = [line.strip() for line in str(inner).splitlines() if line.strip()]
    cause = lines[0].rstrip(".") if lines else type(error).__name__
    return Notice(
        "warning",
        f"`torch_compile` is on, but the blocks cannot be compiled: {cause}. The training goes on without. "
        "Compiling needs triton on a GPU and a C++ compiler on a processor; install what is missing, or turn "
        "it off.",
    )
