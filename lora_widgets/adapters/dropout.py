"""Dropout whose masks are a function of the position in training.

Gradient checkpointing runs a module twice in one micro-step and must see the same mask both times; a resumed
run must see the masks it would have seen; and other threads of the kernel draw from the global generators. So
every mask comes from a seed made of (seed, step, micro-step, module).
"""

from hashlib import blake2b

import torch
from torch import Tensor


class DropoutClock:
    """Where training is; shared by all modules of an adapter."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}
        self.set_position(0, 0)

    def set_position(self, step: int, micro_step: int) -> None:
        """Say which micro-step comes next; both count from 0."""
        text = f"{self._seed} dropout {step} {micro_step}".encode()
        self._base = int.from_bytes(blake2b(text, digest_size=8).digest())

    def mask(self, like: Tensor, *, probability: float, index: int) -> Tensor:
        """Return a tensor like ``like`` of zeros and, else, 1 / (1 - probability), for module ``index``."""
        generator = self._generators.get(like.device)
        if generator is None:
            generator = self._generators[like.device] = torch.Generator(like.device)
        generator.manual_seed((self._base ^ (index * 0x9E3779B97F4A7C15)) % 2**63)
        kept = 1 - probability
        return torch.empty_like(like).bernoulli_(kept, generator=generator).div_(kept)
