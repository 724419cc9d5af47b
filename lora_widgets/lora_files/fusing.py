"""One low-rank module made of several whose weights are stacked in files, and the way back."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_widgets.errors import StateError

LOW_RANK = {"lora_down.weight", "lora_up.weight", "alpha"}
BY_ROW = {"lora_up.weight", "dora_scale"}
"""Tensors whose rows are those of the weight."""
_STACKED_INPUTS = 4
"""Rows of Flux' fourth member, the mlp, in its inputs; it is asked for only where the file lacks it."""


@dataclass(frozen=True)
class Part:
    """The tensors of one of ``count`` modules that are one in files."""

    count: int
    tensors: dict[str, Tensor]


def strength(tensors: Mapping[str, Tensor]) -> float:
    """Return what the product of a LoRA is multiplied with: alpha / rank, or 1 without alpha."""
    if "alpha" not in tensors:
        return 1.0
    return float(tensors["alpha"]) / tensors["lora_down.weight"].shape[0]


def joined(name: str, parts: Mapping[int, Part]) -> dict[str, Tensor]:
    """Return the tensors of the module that is made of ``parts``, by their order there.

    Parts with one ``lora_down`` share it, as trained on the whole module. Others keep theirs: the ranks add
    up, and each part reads its own.

    Raises:
        StateError: a part is of another type than LoRA, or than DoRA where all are there.
    """
    _refuse_others(name, parts)
    sizes = [parts[i].tensors["dora_scale"] for i in sorted(parts) if "dora_scale" in parts[i].tensors]
    matrices = _joined_matrices(parts)
    return {**matrices, "dora_scale": torch.cat(sizes)} if sizes else matrices


def _refuse_others(name: str, parts: Mapping[int, Part]) -> None:
    keys = [part.tensors.keys() for part in parts.values()]
    others = {key for own in keys for key in own} - LOW_RANK
    if others == {"dora_scale"} and all(_has_size_by_row(parts.get(i)) for i in range(_count(parts))):
        others = set[str]()
    if others or any(LOW_RANK - {"alpha"} - own for own in keys):
        raise StateError(
            f"{name} is one layer in files of its family, but here its parts have tensors of their own "
            f"({', '.join(sorted(others)) or 'some are missing'}), which only LoRA can join, and DoRA where "
            "every part has them. Use a file that was saved with the names of the family's own code."
        )


def _has_size_by_row(part: Part | None) -> bool:
    """Say whether a part is DoRA with a size for each of its rows."""
    if part is None or not part.tensors.keys() >= BY_ROW:
        return False
    return len(part.tensors["dora_scale"]) == len(part.tensors["lora_up.weight"])


def _count(parts: Mapping[int, Part]) -> int:
    return next(iter(parts.values())).count


def _joined_matrices(parts: Mapping[int, Part]) -> dict[str, Tensor]:
    downs = [parts[i].tensors["lora_down.weight"] for i in sorted(parts)]
    ups = [_up(parts.get(i), _rows(i, parts, downs[0])) for i in range(_count(parts))]
    shared = all(down.shape == downs[0].shape and torch.equal(down, downs[0]) for down in downs)
    if shared:
        rank = downs[0].shape[0]
        filled = [up if up.shape[1] else up.new_zeros(up.shape[0], rank) for up in ups]
        strengths = {strength(part.tensors) for part in parts.values()}
        if len(strengths) == 1:
            return _low_rank(downs[0], torch.cat(filled), rank * strengths.pop())
        scaled = [up * strength(parts[i].tensors) if i in parts else up for i, up in enumerate(filled)]
        return _low_rank(downs[0], torch.cat(scaled), rank)
    scaled = [up * strength(parts[i].tensors) if i in parts else up for i, up in enumerate(ups)]
    down = torch.cat(downs)
    return _low_rank(down, torch.block_diag(*scaled), down.shape[0])


def _up(part: Part | None, rows: int) -> Tensor:
    """Return a part's rows of ``lora_up``; none at all for a part that is not there."""
    return torch.zeros(rows, 0) if part is None else part.tensors["lora_up.weight"]


def _rows(index: int, parts: Mapping[int, Part], down: Tensor) -> int:
    if index in parts:
        return parts[index].tensors["lora_up.weight"].shape[0]
    is_mlp = index == 3
    return down.shape[1] * (_STACKED_INPUTS if is_mlp else 1)


def _low_rank(down: Tensor, up: Tensor, alpha: float) -> dict[str, Tensor]:
    return {
        "lora_down.weight": down.contiguous(),
        "lora_up.weight": up.to(down.dtype).contiguous(),
        "alpha": torch.tensor(float(alpha)),
    }
