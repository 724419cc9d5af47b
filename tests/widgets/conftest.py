"""Lets the tests here say `from fake_run import FakeRun`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_run import draw_sample

from lora_widgets.events import SampleReady


@pytest.fixture
def sample(tmp_path):
    """Make the event of a sample picture that exists."""

    def make(step, index=0, *, prompt="a zork", size=64):
        path = tmp_path / f"{step}-{index}.png"
        draw_sample(path, sharpness=0.5, size=size)
        return SampleReady(step, 1, index, prompt, 7, str(path))

    return make


class Clock:
    """A clock that goes when told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()
