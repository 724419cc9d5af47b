"""`iter_training`: the whole engine as one generator."""

import time
from collections.abc import Iterator
from contextlib import closing

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.events import Event, Finished, PhaseProgress
from lora_widgets.families.in_memory import keep_large_blocks_apart
from lora_widgets.training.control import Control, Stopped
from lora_widgets.training.loop import run_loop
from lora_widgets.training.out_of_memory import explained, is_out_of_memory, make_room
from lora_widgets.training.plan import make_plan
from lora_widgets.training.precision import choose_device
from lora_widgets.training.prepare import prepare
from lora_widgets.training.quiet import hush_libraries

CHECKING = "Looking at the pictures"


def iter_training(config: TrainingConfig, control: Control | None = None) -> Iterator[Event]:
    """Train, yielding what happens; the caller decides whether to look.

    Between steps ``control`` may ask to wait or to stop. Closing the generator stops the run too; weights and
    state are saved either way.

    Raises:
        LoraWidgetsError: the configuration cannot work (before any model is loaded), or training broke down.
    """
    control, began = control or Control(), time.monotonic()
    hush_libraries()
    keep_large_blocks_apart()
    yield PhaseProgress(CHECKING, 0, 1)
    plan = make_plan(config)
    yield PhaseProgress(CHECKING, 1, 1)
    try:
        job = yield from prepare(plan, control)
    except Stopped:
        yield Finished("stopped", 0, plan.steps.total_steps, time.monotonic() - began, ())
        return
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        make_room(error)
        plan.family.text.unload()
        plan.family.vae.unload()
        plan.family.unload_denoiser()
        raise explained(error, config, device=choose_device(), while_doing="loading and encoding") from None
    with closing(job):
        yield job.started()
        yield from run_loop(job, control)
