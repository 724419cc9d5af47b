"""Low-rank adaptation of all ranks at once (Valipour et al. 2022, DyLoRA, arXiv:2210.07558)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from lora_widgets.adapters.dropout import Dropout
from lora_widgets.adapters.lora import kaiming
from lora_widgets.adapters.part import Part, scale_of
from lora_widgets.adapters.place import operation_of
from lora_widgets.adapters.targets import Member
from lora_widgets.families.stored_linear import weight_shape


class DyLoRA(nn.Module):
    """LoRA in blocks of ``block_size`` ranks, of which a step trains one, drawn anew for each module.

    The blocks before it take part unchanged, those after it not at all, and the product is scaled by
    sqrt(rank / ranks in use) as in kohya's networks.dylora, so that a file cut down to fewer ranks works too.
    Outside training all ranks are in use: samples and files show the same.
    """

    def __init__(self, part: Part, dropout: Dropout, *, generator: torch.Generator) -> None:
        super().__init__()
        layer, size = part.target.layer, part.options.block_size
        self.rank, self.scale, self._dropout, self._size = part.rank, part.scale, dropout, size
        is_linear = isinstance(layer, nn.Linear)
        kernel = () if is_linear else (1, 1)
        down = kaiming((part.rank, *weight_shape(layer)[1:]), generator).to(layer.weight.device)
        up = torch.zeros((part.target.num_rows, part.rank, *kernel), device=layer.weight.device)
        # Parameters of their own, so that an optimizer leaves the blocks alone that a step does not train.
        self.lora_down = nn.ParameterList(block.clone() for block in down.split(size))
        self.lora_up = nn.ParameterList(block.clone() for block in up.split(size, dim=1))
        self._product = functional.linear if is_linear else functional.conv2d
        self._first = operation_of(layer)
        self._ranks_axis = -1 if is_linear else 1

    def change(self, input: Tensor, member: Member) -> Tensor:
        """Return what ``member`` adds to its module's answer to ``input``."""
        trained = self._dropout.choice(len(self.lora_down)) if self.training else len(self.lora_down) - 1
        inner = self._first(input, torch.cat(self._in_use(self.lora_down, trained)))
        if self.training and self._dropout.is_on:
            inner = self._dropout.of_inner(inner, channels=self._ranks_axis)
        inner = inner * (self.scale * (self.rank / ((trained + 1) * self._size)) ** 0.5)
        return self._product(inner, member.own(torch.cat(self._in_use(self.lora_up, trained), dim=1)))

    def _in_use(self, blocks: nn.ParameterList, trained: int) -> list[Tensor]:
        if not self.training:
            return list(blocks)
        return [*(block.detach() for block in list(blocks)[:trained]), blocks[trained]]

    def raw(self) -> dict[str, Tensor]:
        """Return the parameters by names of their own, a block each."""
        return {
            f"{name}.{i}.weight": block
            for name, blocks in (("lora_down", self.lora_down), ("lora_up", self.lora_up))
            for i, block in enumerate(blocks)
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return what a file holds: the matrices of a LoRA of the whole rank."""
        return {
            "lora_down.weight": torch.cat(list(self.lora_down)).detach(),
            "lora_up.weight": torch.cat(list(self.lora_up), dim=1).detach(),
            "alpha": torch.tensor(self.scale * self.rank),
        }

    @torch.no_grad()
    def take(self, theirs: Mapping[str, Tensor]) -> None:
        """Take over what a file holds, of any LoRA of this rank; one of another alpha keeps its effect."""
        ratio = scale_of(theirs, rank=self.rank) / self.scale
        downs = theirs["lora_down.weight"].split(self._size)
        ups = theirs["lora_up.weight"].split(self._size, dim=1)
        for block, values in zip((*self.lora_down, *self.lora_up), (*downs, *ups), strict=True):
            block.copy_(values)
        for block in self.lora_up:
            block.mul_(ratio)

    def limit_norm(self, limit: float) -> None:
        """Do nothing: with a rank that changes there is no one norm to limit."""
