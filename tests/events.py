"""Events as a run tells them, with what a test does not ask about filled in."""

import math
import random

from lora_widgets.events import Started, StepDone

STEPS_PER_EPOCH = 75


def started(total, *, start_step=0, name="zork", steps_per_epoch=STEPS_PER_EPOCH):
    """Return the start of a run of ``total`` steps."""
    return Started(
        run_name=name,
        folder="/runs/zork",
        total_steps=total,
        steps_per_epoch=steps_per_epoch,
        epochs=math.ceil(total / steps_per_epoch),
        start_step=start_step,
        modules={"unet": 96, "text_encoder": 12},
        parameters={"unet": 811008, "text_encoder": 49152},
        device="cpu",
    )


def step_done(step, *, loss=None, seconds=0.1):
    """Return a step; without a ``loss`` given it falls as losses do, and rates are warmed up in 20 steps."""
    noise = random.Random(step)
    if loss is None:
        loss = 0.08 + 0.3 * math.exp(-step / 60) + noise.gauss(0, 0.03)
    rates = {"unet": 1e-4 * min(1, step / 20), "text_encoder": 5e-5 * min(1, step / 20)}
    return StepDone(step, 1 + (step - 1) // STEPS_PER_EPOCH, abs(loss), rates, 0.5, seconds, 8)
