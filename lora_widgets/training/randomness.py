"""Generators that are a function of (seed, purpose, position); torch's global one is never used.

Other threads of a notebook draw from the global generator, and a resumed run would find it elsewhere.
"""

import torch

from lora_widgets.data.randomness import seed_for

_MASK = (1 << 63) - 1


def generator_for(seed: int, purpose: str, *position: int) -> torch.Generator:
    """Return a fresh CPU generator. Noise is drawn on the CPU, so that it is the same on every device."""
    return torch.Generator().manual_seed(seed_for(seed, purpose, *position) & _MASK)
