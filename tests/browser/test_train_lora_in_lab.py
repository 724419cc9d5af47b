"""The shipped notebook in a real JupyterLab: it trains the demo."""

import json
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

FEWER_STEPS = ("demo_config()", "demo_config(max_train_steps=48, sample_every_n_steps=24)")
"""Enough for the curve to move and for pictures in between; all 240 are run in the tests of the demo."""
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "train_lora.ipynb"
TRAINING_LIMIT_MS = 400_000
CURVE = ".lw-chart .lw-loss"


@pytest.fixture
def notebook(lab, server, request):
    """The notebook with fewer steps, open, in a folder of its own."""
    name = f"{request.node.name}/{NOTEBOOK.name}"
    (server.root / name).parent.mkdir()
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert text.count(FEWER_STEPS[0]) == 1
    (server.root / name).write_text(text.replace(*FEWER_STEPS), encoding="utf-8")
    return lab(name)


def run_folder(notebook):
    (folder,) = (notebook.server.root / notebook.notebook).parent.glob("lora-widgets-demo*")
    return folder


def journal(notebook):
    (path,) = run_folder(notebook).glob("*.events.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_run_all_trains_and_leaves_the_picture(notebook):
    notebook.start_all()
    page = notebook.page
    page.locator(CURVE).wait_for(timeout=TRAINING_LIMIT_MS)
    first = page.locator(CURVE).get_attribute("points")
    page.wait_for_function(
        "([curve, first]) => document.querySelector(curve)?.getAttribute('points') !== first",
        arg=[CURVE, first],
    )
    page.locator(".lw-monitor .lw-cell img").first.wait_for()
    page.locator(".lw-kept .lw-state-done").wait_for(timeout=TRAINING_LIMIT_MS)
    notebook.wait_until_idle(60_000)
    assert notebook.errors == []
    assert list(run_folder(notebook).glob("*.safetensors"))

    notebook.save()
    notebook.shut_down_kernel()
    page.reload()
    page.locator(".lw-kept .lw-state-done").wait_for()
    assert page.locator(".lw-kept .lw-cell img").count() >= 8
    pictures = page.locator(".jp-RenderedImage img")
    pictures.last.wait_for()
    assert pictures.last.evaluate("image => image.complete && image.naturalWidth > 600")
    assert page.get_by_text("Error displaying widget").count() == 0


def test_the_interrupt_button_ends_the_run_with_its_state_saved(notebook):
    notebook.start_all()
    notebook.page.locator(CURVE).wait_for(timeout=TRAINING_LIMIT_MS)
    pressed = time.time()
    notebook.interrupt()
    notebook.page.locator(".lw-kept .lw-state-stopped").wait_for()
    notebook.wait_until_idle(20_000)

    events = journal(notebook)
    steps = [event for event in events if event["event"] == "StepDone"]
    ending = events[-1]
    assert (ending["event"], ending["reason"]) == ("Finished", "stopped")
    assert ending["time"] - pressed < 2 + max(step["seconds"] for step in steps)
    states = [event for event in events if event["event"] == "Saved" and event["kind"] == "state"]
    assert states[-1]["step"] == ending["step"] == steps[-1]["step"]
    assert any(Path(notebook.server.root / notebook.notebook).parent.joinpath(states[-1]["path"]).iterdir())
    assert notebook.errors == []
