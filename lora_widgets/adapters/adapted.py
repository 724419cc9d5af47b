"""A target of the base model with its adapter: the base's answer plus the change."""

from collections.abc import Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from lora_widgets.adapters.dropout import Dropout
from lora_widgets.adapters.part import Part
from lora_widgets.adapters.place import Place
from lora_widgets.adapters.targets import Member


class Maths(Protocol):
    """What tells one adapter type from another; an ``nn.Module`` whose parameters train."""

    def change(self, input: Tensor, member: Member) -> Tensor:
        """Return what ``member`` adds to its module's answer to ``input``."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Return what trains by the names of its attributes."""
        ...

    def raw(self) -> dict[str, Tensor]:
        """Return what trains by names in files, which a state holds."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return what a file holds; shared with what trains where that is the same."""
        ...

    def take(self, theirs: Mapping[str, Tensor]) -> None:
        """Take over what a file holds; one of another alpha keeps its effect."""
        ...

    def limit_norm(self, limit: float) -> None:
        """Scale the change down to a norm of at most ``limit``, where the type has one."""
        ...


class AdaptedTarget(nn.Module):
    """Answer for the modules of one target: what they would answer, plus the change of ``maths``.

    A fresh one changes nothing. The base model's weights are never touched.
    """

    def __init__(self, part: Part, maths: Maths, dropout: Dropout) -> None:
        super().__init__()
        self.name, self.other_names = part.target.name, part.target.other_names
        self.part, self._dropout = part, dropout
        self.maths = maths
        self._places = tuple(Place(member, self.forward) for member in part.target.members)
        self._change = maths.change  # a method, looked up once
        self._weight = (next(maths.named_parameters())[1],)  # in a tuple: no parameter of ours

    @property
    def dtype(self) -> torch.dtype:
        """The number format in which it trains and computes outside autocast."""
        return self._weight[0].dtype

    def put_in_place(self) -> None:
        """Answer for the target's modules from now on."""
        for place in self._places:
            place.take()

    def take_out(self) -> None:
        """Give the target's modules their own forward back, exactly as it was."""
        for place in self._places:
            place.give_back()

    def forward(self, place: Place, input: Tensor) -> Tensor:
        """Return what the module there would, plus the adapter's change; any dtype the module takes."""
        base = place.base_forward(input)
        if self.training and self._dropout.is_on and self._dropout.skips():
            return base
        if input.dtype != self._weight[0].dtype and not torch.is_autocast_enabled(input.device.type):
            input = input.to(self._weight[0].dtype)
        change = self._change(input, place.member)
        return base + change if change.dtype == base.dtype else base + change.to(base.dtype)
