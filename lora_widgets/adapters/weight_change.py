"""The change that the tensors of a file make to a weight, by plain arithmetic: for checks and file tools.

It needs no adapter and no lycoris, so it also tells whether what trains and what is saved are the same.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lora_widgets.adapters.part import scale_of

Tensors = Mapping[str, Tensor]
_MARKS = {  # the tensors that only one type has, the more special types first
    "DoRA": ("dora_scale", "lora_up.weight"),
    "LoRA": ("lora_up.weight",),
    "LoHa": ("hada_w1_a",),
    "GLoRA": ("a1.weight",),
    "(IA)³": ("on_input",),
    "Native Fine-Tuning": ("diff",),
    "norm": ("w_norm",),
}


def type_of(tensors: Tensors) -> str | None:
    """Name the type of one layer's tensors, without prefix; LoRA stands for LoCon and DyLoRA, too."""
    for name, marks in _MARKS.items():
        if all(mark in tensors for mark in marks):
            return name
    if "lokr_w1" in tensors or "lokr_w1_a" in tensors:
        return "LoKR"
    if "oft_blocks" in tensors:
        return "BOFT" if tensors["oft_blocks"].dim() == 4 else "Diag-OFT"
    return None


def rank_of(tensors: Tensors) -> int | None:
    """Return the rank of one layer's tensors, for a rotation the size of its blocks, or None."""
    for name, axis in (
        *(("lora_down.weight", 0), ("hada_w1_b", 0), ("a2.weight", 0), ("oft_blocks", -1)),
        *(("lokr_w2_b", 0), ("lokr_w1_b", 0)),
    ):
        if name in tensors:
            return tensors[name].shape[axis]
    return None


def depends_on_weight(tensors: Tensors) -> bool:
    """Say whether one layer's change follows from the base model's numbers, not from the file's alone."""
    return "dora_scale" in tensors or type_of(tensors) in _OF_THE_WEIGHT


def weight_change(tensors: Tensors, weight: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the changes of a layer's ``weight`` and of its bias, in float32.

    ``tensors`` are those of one layer without prefix; ``weight`` is the base model's (rows, ...), as the file
    stacks it. Only its shape matters, except where `depends_on_weight`.

    Raises:
        ValueError: the tensors are of no type that is known.
    """
    found = {name: tensor.float() for name, tensor in tensors.items()}
    kind = type_of(tensors)
    if kind in _OF_THE_WEIGHT:
        return _OF_THE_WEIGHT[kind](found, weight.float()), None
    change, bias = change_alone(tensors)
    change = change.view_as(weight)
    return (_decomposed(found, weight.float(), change) if "dora_scale" in found else change), bias


def change_alone(tensors: Tensors) -> tuple[Tensor, Tensor | None]:
    """Return the changes of a layer's weight and bias in float32, without the base model's weight.

    The rows are the weight's; a kernel may be flattened into the inputs. Where sizes are learned apart it is
    the change of the direction alone.

    Raises:
        ValueError: the tensors are of no type that is known, or turn or scale the base model's weight.
    """
    found = {name: tensor.float() for name, tensor in tensors.items()}
    kind = type_of(tensors)
    if kind in _SUMS:
        name, bias_name = _SUMS[kind]
        return found[name], found.get(bias_name)
    if kind in _PRODUCTS:
        return _PRODUCTS[kind](found), found.get("diff_b")
    raise ValueError(f"tensors named {', '.join(sorted(tensors))} are of no type that is a change by itself")


def _low_rank(found: Tensors) -> Tensor:
    down, up = found["lora_down.weight"], found["lora_up.weight"].flatten(1)
    scale = scale_of(found, rank=down.shape[0])
    if (mid := found.get("lora_mid.weight")) is not None:
        return scale * torch.einsum("mn...,im,nj->ij...", mid, up, down.flatten(1))
    return scale * (up @ down.flatten(1)).view(len(up), *down.shape[1:])


def _hadamard(found: Tensors) -> Tensor:
    first, second = (
        torch.einsum("ij...,jr,ip->pr...", found[f"hada_t{i}"], found[f"hada_w{i}_b"], found[f"hada_w{i}_a"])
        if f"hada_t{i}" in found
        else found[f"hada_w{i}_a"] @ found[f"hada_w{i}_b"]
        for i in (1, 2)
    )
    return scale_of(found, rank=found["hada_w1_b"].shape[0]) * first * second


def _kronecker(found: Tensors) -> Tensor:
    first, second = (found[f"lokr_w{i}"] if f"lokr_w{i}" in found else _lokr_factor(found, i) for i in (1, 2))
    rank = rank_of(found)
    scale = scale_of(found, rank=rank) if rank else 1.0  # of whole matrices alone, nothing is scaled
    first = first.reshape(*first.shape, *[1] * (second.dim() - 2))
    return scale * torch.kron(first, second.contiguous())


def _lokr_factor(found: Tensors, which: int) -> Tensor:
    a, b = found[f"lokr_w{which}_a"], found[f"lokr_w{which}_b"]
    if f"lokr_t{which}" in found:
        return torch.einsum("ij...,ip,jr->pr...", found[f"lokr_t{which}"], a, b)
    return a @ b


def _decomposed(found: Tensors, weight: Tensor, product: Tensor) -> Tensor:
    """Return the change where size and direction are learned apart (Liu et al. 2024, arXiv:2402.09353)."""
    if (size := found.get("dora_scale")) is None:
        return product
    changed = weight + product
    by_output = size.shape[0] == weight.shape[0]
    axes = [axis for axis in range(weight.dim()) if axis != (0 if by_output else 1)]
    norm = torch.linalg.vector_norm(changed, dim=axes, keepdim=True) + torch.finfo(torch.float32).eps
    return changed * (size / norm) - weight


def _rescaled_channels(found: Tensors, weight: Tensor) -> Tensor:
    factors = found["weight"].flatten()
    axis = 1 if found["on_input"] else 0
    return weight * factors.view([-1 if i == axis else 1 for i in range(weight.dim())])


def _generalised(found: Tensors, weight: Tensor) -> Tensor:
    a1, a2 = found["a1.weight"].flatten(1), found["a2.weight"].flatten(1)
    b1, b2 = found["b1.weight"].flatten(1), found["b2.weight"].flatten(1)
    product = torch.einsum("oi...,ij->oj...", weight, a1 @ a2)
    return scale_of(found, rank=len(a2)) * (product + (b1 @ b2).view_as(weight))


def _turn(found: Tensors, weight: Tensor) -> Tensor:
    return _rotated(found, weight) - weight


def _rotated(found: Tensors, weight: Tensor) -> Tensor:
    """Return the weight with its rows turned in blocks, and rescaled where the file says so."""
    blocks = found["oft_blocks"]
    turns = _cayley(blocks, limit=float(found.get("alpha", torch.tensor(0.0))) * len(weight))
    turned = weight
    if blocks.dim() == 3:
        stacked = weight.view(len(blocks), blocks.shape[1], -1)
        turned = torch.einsum("knm,kni->kmi", turns, stacked).view_as(weight)
    else:
        for i, turn in enumerate(turns):
            step = 2**i * (blocks.shape[-1] // 2)
            rows = turned.unflatten(0, (-1, 2, step)).transpose(1, 2).reshape(len(turn), blocks.shape[-1], -1)
            rows = torch.einsum("bij,bjn->bin", turn, rows)
            turned = rows.reshape(-1, step, 2, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)
    return turned * found["rescale"].view(-1, *[1] * (weight.dim() - 1)) if "rescale" in found else turned


def _cayley(blocks: Tensor, *, limit: float) -> Tensor:
    """Return the rotations that skew-symmetric matrices stand for; ``limit`` bounds their norm."""
    skew = blocks - blocks.transpose(-1, -2)
    norm = float(skew.norm()) + 1e-8
    if 0 < limit < norm:
        skew = skew * (limit / norm)
    identity = torch.eye(blocks.shape[-1])
    return (identity + skew) @ torch.linalg.inv(identity - skew)


_SUMS = {"Native Fine-Tuning": ("diff", "diff_b"), "norm": ("w_norm", "b_norm")}
_PRODUCTS: dict[str, Callable[[Tensors], Tensor]] = {
    "LoRA": _low_rank,
    "DoRA": _low_rank,
    "LoHa": _hadamard,
    "LoKR": _kronecker,
}
_OF_THE_WEIGHT: dict[str, Callable[[Tensors, Tensor], Tensor]] = {
    "(IA)³": _rescaled_channels,
    "GLoRA": _generalised,
    "Diag-OFT": _turn,
    "BOFT": _turn,
}
