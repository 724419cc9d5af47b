"""Low-rank adaptation of one linear layer or 1x1 convolution (Hu et al. 2021, arXiv:2106.09685)."""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from lora_widgets.adapters.dropout import DropoutClock
from lora_widgets.adapters.place import Place
from lora_widgets.adapters.targets import Target


@dataclass(frozen=True)
class LoRASettings:
    """What all modules of an adapter share; ``dropout`` is the share of inner values that is set to zero."""

    rank: int
    alpha: float
    dropout: float
    clock: DropoutClock


class LoRAModule(nn.Module):
    """Add ``up(dropout(down(x))) * alpha / rank`` to what a frozen module returns (Hu et al., eq. 3).

    ``lora_down`` starts random, ``lora_up`` at zero, so a fresh module changes nothing. The weights have the
    layouts of kohya's files: (rank, in) and (out, rank), with 1x1 kernels for a convolution.
    """

    alpha: Tensor

    def __init__(
        self, target: Target, settings: LoRASettings, *, index: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        layer = target.layer
        self.name, self.other_names, self.rank = target.name, target.other_names, settings.rank
        self.scale = settings.alpha / settings.rank
        self._dropout, self._clock, self._index = settings.dropout, settings.clock, index
        self._places = tuple(Place(member) for member in target.members)
        down, up = _weight_shapes(target, settings.rank)
        self.lora_down = nn.Parameter(_kaiming(down, generator).to(layer.weight.device))
        self.lora_up = nn.Parameter(torch.zeros(up, device=layer.weight.device))
        self.register_buffer("alpha", torch.tensor(float(settings.alpha)))
        self._product = functional.linear if isinstance(layer, nn.Linear) else functional.conv2d

    def put_in_place(self) -> None:
        """Answer for the target's modules from now on."""
        for place in self._places:
            place.take(partial(self.forward, place))

    def take_out(self) -> None:
        """Give the target's modules their own forward back, exactly as it was."""
        for place in self._places:
            place.give_back()

    def forward(self, place: Place, input: Tensor) -> Tensor:
        """Return what the module there would, plus the adapter's change; any dtype the module takes.

        Modules of one target see the same dropout, for they share the inner values.
        """
        base = place.base_forward(input)
        down = self.lora_down
        if input.dtype != down.dtype and not torch.is_autocast_enabled(input.device.type):
            input = input.to(down.dtype)
        inner = self._product(input, down)
        if self._dropout and self.training:
            inner = inner * self._clock.mask(inner, probability=self._dropout, index=self._index)
        if self.scale != 1:
            inner = inner * self.scale  # here, where the tensors are small
        change = self._product(inner, place.member.own(self.lora_up))
        return base + change if change.dtype == base.dtype else base + change.to(base.dtype)


def _weight_shapes(target: Target, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if isinstance(target.layer, nn.Linear):
        return (rank, target.layer.in_features), (target.num_rows, rank)
    return (rank, target.layer.in_channels, 1, 1), (target.num_rows, rank, 1, 1)


def _kaiming(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    weight = torch.empty(shape, device=generator.device)
    return nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
