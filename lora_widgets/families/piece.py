"""A tensor that is still in its file: where it is, and what is to be cut from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Cut = Callable[[Tensor], Tensor]


def _whole(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True)
class Piece:
    """What ``cut`` takes from the tensor called ``name`` in a file; ``shape`` is that of the result.

    It stands in for a tensor in code that cuts, turns and joins tensors without looking at their values:
    ``piece[:4]``, ``piece.T``, ``torch.chunk(piece, 3)``, ``torch.cat`` of pieces of one tensor.
    """

    name: str
    shape: tuple[int, ...]
    cut: Cut = field(default=_whole, compare=False)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def T(self) -> "Piece":
        """The transposed matrix."""
        return self.then(lambda tensor: tensor.T)

    def __getitem__(self, index: Any) -> "Piece":
        """Return the part that a tensor would return."""
        return self.then(lambda tensor: tensor[index])

    def chunk(self, chunks: int, dim: int = 0) -> tuple["Piece", ...]:
        """Return equal parts along a dimension."""
        return self._several(lambda tensor: tensor.chunk(chunks, dim))

    def split(self, sizes: Any, dim: int = 0) -> tuple["Piece", ...]:
        """Return parts of given sizes along a dimension."""
        return self._several(lambda tensor: tensor.split(sizes, dim))

    def contiguous(self) -> "Piece":
        """Return the same: the values are copied when they are read."""
        return self

    clone = detach = contiguous

    def then(self, cut: Cut) -> "Piece":
        """Return what one more cut takes from this piece; it is tried on a tensor without memory."""
        shape = tuple(cut(self._without_memory()).shape)
        return Piece(self.name, shape, lambda tensor: cut(self.cut(tensor)))

    def _several(self, cut: Callable[[Tensor], Sequence[Tensor]]) -> tuple["Piece", ...]:
        count = len(cut(self._without_memory()))
        return tuple(self.then(lambda tensor, at=at: cut(tensor)[at]) for at in range(count))

    def _without_memory(self) -> Tensor:
        return torch.empty(self.shape, device="meta")

    @classmethod
    def __torch_function__(
        cls, function: Any, _types: Any, arguments: tuple[Any, ...] = (), keywords: Any = None
    ) -> Any:
        """Let torch's own functions for cutting and joining take pieces."""
        first, *rest = arguments
        keywords = keywords or {}
        if function is torch.chunk:
            return first.chunk(*rest, **keywords)
        if function in (torch.split, torch.Tensor.split):
            return first.split(*rest, **keywords)
        if function is torch.cat:
            return _joined(first, *rest, **keywords)
        return NotImplemented


def _joined(pieces: Sequence[Piece], dim: int = 0) -> Piece:
    names = {piece.name for piece in pieces}
    if len(names) != 1:
        raise ValueError(f"pieces of several tensors cannot be joined: {', '.join(sorted(names))}")
    shape = torch.cat([torch.empty(piece.shape, device="meta") for piece in pieces], dim).shape
    return Piece(
        names.pop(), tuple(shape), lambda tensor: torch.cat([piece.cut(tensor) for piece in pieces], dim)
    )
