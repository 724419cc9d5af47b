"""Low-rank adaptation of one linear layer or 1x1 convolution (Hu et al. 2021, arXiv:2106.09685)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lora_widgets.adapters.dropout import DropoutClock
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
        base = target.module
        self.name, self.other_names, self.rank = target.name, target.other_names, settings.rank
        self.scale = settings.alpha / settings.rank
        self._dropout, self._clock, self._index = settings.dropout, settings.clock, index
        self._target = (base,)  # in a tuple, so that it does not become a submodule of ours
        self._base_forward: Callable[[Tensor], Tensor] = base.forward
        self._replaced = base.__dict__.get("forward")  # another library's wrapper, to be put back
        down, up = _weight_shapes(base, settings.rank)
        self.lora_down = nn.Parameter(_kaiming(down, generator).to(base.weight.device))
        self.lora_up = nn.Parameter(torch.zeros(up, device=base.weight.device))
        self.register_buffer("alpha", torch.tensor(float(settings.alpha)))
        self._product = functional.linear if isinstance(base, nn.Linear) else functional.conv2d

    def put_in_place(self) -> None:
        """Answer for the target from now on."""
        self._target[0].forward = self.forward  # pyright: ignore[reportAttributeAccessIssue]

    def take_out(self) -> None:
        """Give the target its own forward back, exactly as it was."""
        if self._replaced is None:
            self._target[0].__dict__.pop("forward", None)  # the class's method shows again
        else:
            self._target[0].forward = self._replaced

    def forward(self, input: Tensor) -> Tensor:
        """Return what the target would, plus the adapter's change; any dtype the target takes."""
        base = self._base_forward(input)
        down = self.lora_down
        if input.dtype != down.dtype and not torch.is_autocast_enabled(input.device.type):
            input = input.to(down.dtype)
        inner = self._product(input, down)
        if self._dropout and self.training:
            inner = inner * self._clock.mask(inner, probability=self._dropout, index=self._index)
        if self.scale != 1:
            inner = inner * self.scale  # here, where the tensors are small
        change = self._product(inner, self.lora_up)
        return base + change if change.dtype == base.dtype else base + change.to(base.dtype)


def _weight_shapes(base: nn.Linear | nn.Conv2d, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if isinstance(base, nn.Linear):
        return (rank, base.in_features), (base.out_features, rank)
    return (rank, base.in_channels, 1, 1), (base.out_channels, rank, 1, 1)


def _kaiming(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    weight = torch.empty(shape, device=generator.device)
    return nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
