"""Lets the tests here say `from fake_run import FakeRun`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from driven_panel import Engine, is_idle, is_settled
from fake_run import draw_sample
from until import until

from lora_widgets.demo.config import demo_config
from lora_widgets.events import SampleReady
from lora_widgets.widgets import background_scan, settled_click
from lora_widgets.widgets.panel import Panel


@pytest.fixture
def sample(tmp_path):
    """Make the event of a sample picture that exists."""

    def make(step, index=0, *, prompt="a zork", size=64):
        path = tmp_path / f"{step}-{index}.png"
        draw_sample(path, sharpness=0.5, size=size)
        return SampleReady(step, 1, index, prompt, 7, str(path), 1.5)

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


@pytest.fixture
def engine():
    engine = Engine()
    yield engine
    for run in engine.runs:
        run.stop()
        assert run.done.wait(20)


@pytest.fixture
def config(tmp_path):
    return demo_config(project_name="zork", output_dir=str(tmp_path / "out"))


@pytest.fixture
def make_panel(engine, monkeypatch):
    monkeypatch.setattr(settled_click, "SETTLE_S", 0.0)
    monkeypatch.setattr(background_scan, "DELAY_S", 0.0)
    panels = []

    def make(config=None):
        panels.append(Panel(config, start=engine))
        until(lambda: is_settled(panels[-1]))
        return panels[-1]

    yield make
    for panel in panels:
        if engine.runs:
            engine.runs[-1].stop()
        until(lambda panel=panel: is_idle(panel) and is_settled(panel))


@pytest.fixture
def panel(make_panel, config):
    return make_panel(config)
