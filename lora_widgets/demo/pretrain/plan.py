"""What pre-training will do: seeds, sizes, steps and rates, in one place."""

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """The recipe of the shipped model; rates fall to a twentieth along a cosine."""

    seed: int = 20
    detail_steps: int = 3_800
    autoencoder_steps: int = 4_200
    autoencoder_batch: int = 16
    autoencoder_lr: float = 2e-3
    scenes: int = 40_000
    denoiser_steps: int = 3_600
    denoiser_batch: int = 32
    denoiser_lr: float = 5e-4
    ema: float = 0.998
    empty_captions: float = 0.1

    def decay(self, step: int, steps: int) -> float:
        """Return the factor of the learning rate: 100 steps of warm-up, then a cosine from 1 to 0.05."""
        warmup = min(1.0, (step + 1) / 100)
        return warmup * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))

    def say(self, text: str, began: float) -> None:
        """Report progress on the terminal."""
        print(f"{text}  ({time.monotonic() - began:.0f} s)", flush=True)  # noqa: T201
