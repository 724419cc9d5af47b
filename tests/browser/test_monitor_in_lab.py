"""The monitor in a real JupyterLab, with a run that trains nothing."""

import time

import pytest

pytestmark = pytest.mark.browser

CELL = """
from fake_run import FakeRun
from lora_widgets.widgets.monitor import Monitor
from lora_widgets.widgets.waiting import wait

monitor = Monitor()
run = FakeRun(monitor, steps={steps}, step_s=0.03, folder="fake-{name}", fails_at={fails_at})
monitor.bind(run)
monitor.display()
run.start()
wait(run)
"""


@pytest.fixture
def watched(lab, request):
    """Open a notebook with a fake run and start it."""

    def start(*, steps=60, fails_at=None, more=()):
        notebook = lab([CELL.format(steps=steps, name=request.node.name, fails_at=fails_at), *more])
        notebook.start_all()
        return notebook

    return start


def test_the_loss_moves_and_the_end_stays(watched):
    notebook = watched(steps=150)
    line = notebook.page.locator(".lw-chart .lw-loss")
    line.wait_for()
    first = line.get_attribute("points")
    notebook.page.wait_for_function(
        "first => document.querySelector('.lw-chart .lw-loss').getAttribute('points') !== first", arg=first
    )
    notebook.wait_until_idle(60_000)
    notebook.page.locator(".lw-kept .lw-state-done").wait_for()
    assert notebook.page.locator(".lw-kept img").count() == 10
    assert notebook.errors == []


def test_the_kept_end_is_there_without_a_kernel(watched):
    notebook = watched()
    notebook.wait_until_idle(60_000)
    notebook.page.locator(".lw-kept").wait_for()
    notebook.save()
    notebook.shut_down_kernel()
    outputs = notebook.saved()["cells"][0]["outputs"]
    assert not any("widget-view" in kind for output in outputs for kind in output["data"])
    notebook.page.reload()
    notebook.page.locator(".lw-kept .lw-state-done").wait_for()
    picture = notebook.page.locator(".jp-RenderedImage img")
    picture.wait_for()
    assert picture.evaluate("image => image.complete && image.naturalWidth > 600")
    assert notebook.page.get_by_text("Error displaying widget").count() == 0


def test_pause_and_stop_work_while_the_cell_waits(watched):
    notebook = watched(steps=5000)
    notebook.page.locator(".lw-state-training").wait_for()
    notebook.press("Pause")
    notebook.page.locator(".lw-state-paused").wait_for()
    notebook.press("Continue")
    notebook.page.locator(".lw-state-training").wait_for()
    begin = time.monotonic()
    notebook.press("Stop")
    notebook.page.locator(".lw-kept .lw-state-stopped").wait_for()
    assert time.monotonic() - begin < 5


def test_the_square_button_ends_the_run_tidily(watched):
    notebook = watched(steps=5000, more=["run.error, run.alive"])
    notebook.page.locator(".lw-state-training").wait_for()
    begin = time.monotonic()
    notebook.interrupt()
    notebook.page.locator(".lw-kept .lw-state-stopped").wait_for()
    assert time.monotonic() - begin < 5
    notebook.wait_until_idle(20_000)
    notebook.save()
    assert "(None, False)" in str(notebook.saved()["cells"][1]["outputs"])


def test_an_error_appears_in_the_cell(watched):
    notebook = watched(fails_at=5)
    notebook.wait_until_idle(60_000)
    notebook.save()
    assert notebook.saved()["cells"][0]["outputs"][-1]["ename"] == "ValueError"


def test_the_monitor_can_be_shown_again(watched):
    notebook = watched(more=["monitor"])
    notebook.wait_until_idle(60_000)
    again = notebook.page.locator(".lw-monitor:not(.lw-kept)")
    again.locator(".lw-state-done").wait_for()
    assert again.locator("svg.lw-chart").count() == 2


def test_a_hostile_caption_runs_nothing(watched):
    notebook = watched()
    notebook.page.locator(".lw-log").wait_for()
    assert notebook.page.locator(".lw-log script").count() == 0
    notebook.wait_until_idle(60_000)
    assert notebook.page.get_by_text("<b>at night</b>").first.is_visible()
