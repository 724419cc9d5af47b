"""Runs of the engine in tests, what they report, and the weights that they save."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from lora_widgets.events import StepDone
from lora_widgets.training.control import Control
from lora_widgets.training.start import iter_training


def run(config, *, stop_after=None):
    """Train to the end, or until ``stop_after`` steps are done; return the events."""
    control, events = Control(), []
    for event in iter_training(config, control):
        events.append(event)
        if isinstance(event, StepDone) and event.step == stop_after:
            control.stop()
    return events


def losses(events):
    """Return the loss of every step."""
    return [event.loss for event in events if isinstance(event, StepDone)]


def assert_same_weights(config, other):
    """Compare the files that two runs saved, bit by bit."""
    ours, theirs = (load_file(Path(c.output_dir, f"{c.file_stem}.safetensors")) for c in (config, other))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
