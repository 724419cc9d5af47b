"""What pre-training will do: seeds, sizes, steps and rates, in one place."""

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """Part of the denoiser's training: its rate falls from ``lr`` along a cosine.

    ``focus`` is the share of times drawn from where shapes are decided, ``plain`` the share of pictures drawn
    from single plain shapes; the others are drawn from all.
    """

    steps: int
    lr: float
    focus: float = 0.0
    plain: float = 0.0


@dataclass(frozen=True)
class Plan:
    """The recipe of the shipped model; rates fall to a twentieth along a cosine."""

    seed: int = 20
    detail_steps: int = 3_800
    autoencoder_steps: int = 4_200
    autoencoder_batch: int = 16
    autoencoder_lr: float = 2e-3
    scenes: int = 40_000
    # Colours, backgrounds and places first, then shapes: those are learned from few of the times.
    phases: tuple[Phase, ...] = (
        Phase(3_600, 5e-4),
        Phase(1_000, 5e-4, focus=0.75),
        Phase(5_000, 7e-4, focus=0.75, plain=0.4),
    )
    focus_times: tuple[int, int] = (60, 550)
    denoiser_batch: int = 32
    ema: float = 0.998
    empty_captions: float = 0.1

    @property
    def denoiser_steps(self) -> int:
        """Steps of all phases together."""
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> tuple[Phase, int]:
        """Return the phase of the denoiser's step ``step`` and the step's number in it."""
        for phase in self.phases:
            if step < phase.steps:
                return phase, step
            step -= phase.steps
        return self.phases[-1], self.phases[-1].steps

    def decay(self, step: int, steps: int) -> float:
        """Return the factor of the learning rate: 100 steps of warm-up, then a cosine from 1 to 0.05."""
        warmup = min(1.0, (step + 1) / 100)
        return warmup * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))

    def say(self, text: str, began: float) -> None:
        """Report progress on the terminal."""
        print(f"{text}  ({time.monotonic() - began:.0f} s)", flush=True)  # noqa: T201
