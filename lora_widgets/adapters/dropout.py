"""Dropout whose masks are a function of the position in training.

Gradient checkpointing runs a module twice in one micro-step and must see the same mask both times; a resumed
run must see the masks it would have seen; and other threads of the kernel draw from the global generators. So
every mask comes from a seed made of (seed, step, micro-step, module).
"""

from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

_MIXED = 0x9E3779B97F4A7C15
_LIBRARY = torch.library.Library("lora_widgets", "DEF")
# An operation of its own, which torch.compile takes as it is: no compiled graph can hold a generator.
_LIBRARY.define("dropout_mask(Tensor like, Tensor position, Tensor index, float probability) -> Tensor")


@torch.library.impl(_LIBRARY, "dropout_mask", "CompositeExplicitAutograd")
def _mask(like: Tensor, position: Tensor, index: Tensor, probability: float) -> Tensor:
    generator = torch.Generator(like.device)
    generator.manual_seed(int(position) ^ int(index))
    kept = 1 - probability
    return torch.empty_like(like).bernoulli_(kept, generator=generator).div_(kept)


@torch.library.register_fake("lora_widgets::dropout_mask", lib=_LIBRARY)
def _unfilled_mask(like: Tensor, position: Tensor, index: Tensor, probability: float) -> Tensor:
    del position, index, probability
    return torch.empty_like(like)


class DropoutClock:
    """Where training is; shared by all modules of an adapter."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._position = torch.zeros((), dtype=torch.int64)  # a tensor: compiled graphs take numbers as fixed
        self.set_position(0, 0)

    def set_position(self, step: int, micro_step: int) -> None:
        """Say which micro-step comes next; both count from 0."""
        text = f"{self._seed} dropout {step} {micro_step}".encode()
        self._base = int.from_bytes(blake2b(text, digest_size=8).digest())
        self._position.fill_(self._base % 2**63)

    def mask(self, like: Tensor, *, probability: float, index: Tensor) -> Tensor:
        """Return zeros and, else, 1 / (1 - probability), in the form of ``like``; see ``mask_index``."""
        return torch.ops.lora_widgets.dropout_mask(like.detach(), self._position, index, probability)

    def number(self, *, index: int) -> int:
        """Return a whole number below 2**64, evenly drawn, for module ``index``; it costs no tensor."""
        text = f"{self._base} {index}".encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest())


def mask_index(index: int) -> Tensor:
    """Return what tells the masks of the module ``index`` apart; a tensor, as compiled graphs want it."""
    return torch.tensor(index * _MIXED % 2**63)


@dataclass(frozen=True)
class DropoutRates:
    """Shares that are set to zero: of values, of whole ranks, and of whole modules."""

    values: float = 0.0
    ranks: float = 0.0
    modules: float = 0.0


class Dropout:
    """What one module of an adapter drops in the next micro-step; ``index`` tells modules apart."""

    def __init__(self, clock: DropoutClock, rates: DropoutRates, *, index: int) -> None:
        self._clock, self._rates = clock, rates
        # Three numbers for a module, so that its masks do not resemble each other.
        self._values, self._ranks = mask_index(3 * index), mask_index(3 * index + 1)
        self._module = 3 * index + 2
        self.is_on = rates != DropoutRates()

    def skips(self) -> bool:
        """Say whether the module does nothing this time."""
        return self.choice(2**32) < self._rates.modules * 2**32 if self._rates.modules else False

    def of_inner(self, inner: Tensor, *, channels: int) -> Tensor:
        """Drop of low-rank values (B, ...), whose axis ``channels`` counts ranks; each picture loses its own.

        The ranks that stay are scaled up, as in kohya's networks.lora.
        """
        if self._rates.values:
            mask = self._clock.mask(inner, probability=self._rates.values, index=self._values)
            inner = inner * mask
        if self._rates.ranks:
            shape = [1] * inner.dim()
            shape[0], shape[channels] = inner.shape[0], inner.shape[channels]
            like = inner.new_empty(shape)
            inner = inner * self._clock.mask(like, probability=self._rates.ranks, index=self._ranks)
        return inner

    def of_rows(self, change: Tensor) -> Tensor:
        """Drop rows of the change of a weight (rows, ...), for types that have no ranks to drop."""
        if not self._rates.ranks:
            return change
        like = change.new_empty(len(change), *[1] * (change.dim() - 1))
        return change * self._clock.mask(like, probability=self._rates.ranks, index=self._ranks)

    def of_output(self, change: Tensor) -> Tensor:
        """Drop values of what a module adds, for types that have no inner values."""
        if not self._rates.values:
            return change
        return change * self._clock.mask(change, probability=self._rates.values, index=self._values)

    def choice(self, count: int) -> int:
        """Return a number from 0 to ``count`` - 1, evenly drawn."""
        return self._clock.number(index=self._module) * count >> 64
