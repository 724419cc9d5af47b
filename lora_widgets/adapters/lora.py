"""Low-rank adaptation of a linear layer or a convolution (Hu et al. 2021, arXiv:2106.09685).

With ``use_tucker`` a convolution's kernel is held in a small core between two 1x1 convolutions
(Yeh et al. 2023, LyCORIS, arXiv:2309.14859).
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from lora_widgets.adapters.dropout import Dropout
from lora_widgets.adapters.part import Part, scale_of
from lora_widgets.adapters.place import operation_of
from lora_widgets.adapters.targets import Member


class LowRank(nn.Module):
    """Add ``up(dropout(down(x))) * alpha / rank`` (Hu et al., eq. 3); for LoRA and LoCon.

    ``lora_down`` starts random, ``lora_up`` at zero, so a fresh one changes nothing; with ``use_scalar`` all
    start random and a gate at zero. The weights have the layouts of kohya's files: (rank, in) and (out,
    rank), with kernels for a convolution. Members of one target share the inner values and so their dropout.
    """

    def __init__(self, part: Part, dropout: Dropout, *, generator: torch.Generator) -> None:
        super().__init__()
        layer, options = part.target.layer, part.options
        self.rank, self.scale, self._dropout = part.rank, part.scale, dropout
        down, mid, up = _weight_shapes(part)
        device = layer.weight.device
        self.lora_down = nn.Parameter(kaiming(down, generator).to(device))
        self.lora_mid = nn.Parameter(kaiming(mid, generator).to(device)) if mid else None
        start = kaiming(up, generator) if options.use_scalar else torch.zeros(up)
        self.lora_up = nn.Parameter(start.to(device))
        self.scalar = nn.Parameter(torch.zeros((), device=device)) if options.use_scalar else None
        is_linear = isinstance(layer, nn.Linear)
        self._product = functional.linear if is_linear else functional.conv2d
        self._first = operation_of(layer)
        self._ranks_axis = -1 if is_linear else 1

    def change(self, input: Tensor, member: Member) -> Tensor:
        """Return what ``member`` adds to its module's answer to ``input``."""
        if self.lora_mid is None:
            inner = self._first(input, self.lora_down)
        else:
            inner = self._first(self._product(input, self.lora_down), self.lora_mid)
        if self.training and self._dropout.is_on:
            inner = self._dropout.of_inner(inner, channels=self._ranks_axis)
        if self.scale != 1:
            inner = inner * self.scale  # here, where the tensors are small
        if self.scalar is not None:
            inner = inner * self.scalar
        return self._product(inner, member.own(self.lora_up))

    def raw(self) -> dict[str, Tensor]:
        """Return the parameters by their names in files."""
        found: dict[str, Tensor] = {"lora_down.weight": self.lora_down, "lora_up.weight": self.lora_up}
        if self.lora_mid is not None:
            found["lora_mid.weight"] = self.lora_mid
        if self.scalar is not None:
            found["scalar"] = self.scalar
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Return what a file holds; shared with what trains, except where a gate is multiplied in."""
        found = {key: tensor.detach() for key, tensor in self.raw().items()}
        if (gate := found.pop("scalar", None)) is not None:
            found["lora_up.weight"] = found["lora_up.weight"] * gate
        return {**found, "alpha": torch.tensor(self.scale * self.rank)}

    @torch.no_grad()
    def take(self, theirs: Mapping[str, Tensor]) -> None:
        """Take over what a file holds; one of another alpha keeps its effect."""
        raw = self.raw()
        if (gate := raw.pop("scalar", None)) is not None:
            gate.fill_(1)  # files have it multiplied in
        for name, weight in raw.items():
            weight.copy_(theirs[name])
        self.lora_up.mul_(scale_of(theirs, rank=self.rank) / self.scale)

    @torch.no_grad()
    def limit_norm(self, limit: float) -> None:
        """Scale both matrices so that the norm of their product is at most ``limit``."""
        norm = self._norm()
        if norm > limit:
            for weight in (self.lora_down, self.lora_up):
                weight.mul_((limit / norm) ** 0.5)

    def _norm(self) -> float:
        gate = 1.0 if self.scalar is None else float(self.scalar)
        down, up = self.lora_down.flatten(1), self.lora_up.flatten(1)
        if self.lora_mid is not None:
            down = torch.einsum("mn...,nj->mj...", self.lora_mid, down).flatten(1)
        # of the product without making it: ||UD||^2 is the sum over (U'U) * (DD')
        square = float((up.T @ up * (down @ down.T)).sum())
        return math.sqrt(max(square, 0.0)) * abs(self.scale * gate)


def kaiming(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return start values as those of torch's linear layers, uniform within 1 / sqrt(inputs)."""
    weight = torch.empty(shape, device=generator.device)
    return nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)


def _weight_shapes(part: Part) -> tuple[tuple[int, ...], tuple[int, ...] | None, tuple[int, ...]]:
    """Return the shapes of down, mid and up; a core only for a kernel larger than 1x1."""
    layer, rank, rows = part.target.layer, part.rank, part.target.num_rows
    if isinstance(layer, nn.Linear):
        return (rank, layer.in_features), None, (rows, rank)
    assert isinstance(layer, nn.Conv2d)  # norms have another type
    kernel = layer.kernel_size
    up = (rows, rank, 1, 1)
    if part.options.use_tucker and kernel != (1, 1):
        return (rank, layer.in_channels, 1, 1), (rank, rank, *kernel), up
    return (rank, layer.in_channels, *kernel), None, up
