"""The panel's runs in real pages of both generations: start, pause, stop, errors, reload, another view."""

import time

import pytest
from panel_view import PanelView
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

STOP_LIMIT_S = 2
ENDLESS = "panel = new_panel(steps=100_000, step_s=0.05)"
BLOCKING = """
from panels import Starter
from lora_widgets.widgets.monitor import Monitor
from lora_widgets.widgets.waiting import wait

monitor = Monitor()
monitor.display()
run = Starter(steps=100_000, step_s=0.05)(demo(), listeners=[monitor])
monitor.bind(run)
wait(run)
"""


@pytest.fixture
def panel(notebook):
    return PanelView(notebook)


def test_a_run_is_started_paused_continued_and_stopped(panel):
    panel.show(ENDLESS)
    expect(panel.note).to_contain_text("160 steps on 16 pictures")
    panel.start_button.click()
    expect(panel.state).to_have_text("Training")
    expect(panel.start_button).to_be_disabled()
    expect(panel.note).to_contain_text("160 steps on 16 pictures")
    panel.press("Pause")
    expect(panel.state).to_have_text("Paused")
    # Other cells run meanwhile, and the form is free.
    panel.notebook.run("print(6 * 7)", cell=1)
    assert "42" in str(panel.notebook.outputs(1))
    panel.open_tab("Dataset")
    panel.enter("seed", "7")
    panel.notebook.wait_for("panel.config.seed == 7")
    panel.press("Continue")
    expect(panel.state).to_have_text("Training")
    clicked = time.monotonic()
    panel.press("Stop")
    panel.notebook.wait_for("panel.run.done.is_set()")
    assert time.monotonic() - clicked < STOP_LIMIT_S
    expect(panel.state).to_contain_text("Stopped at step")
    expect(panel.start_button).to_be_enabled()
    assert panel.notebook.ask("[panel.run.error, panel.run.alive]") == [None, False]


def test_the_end_stays_in_the_file_and_its_name_is_taken(panel):
    panel.show("panel = new_panel(steps=20)")
    panel.start_button.click()
    expect(panel.state).to_have_text("Done")
    record = panel.page.locator("details.lw-record")
    expect(record).to_have_count(1)
    expect(record.locator("summary").first).to_contain_text("20")
    panel.notebook.save()
    outputs = panel.notebook.saved()["cells"][0]["outputs"]
    assert any("lw-record" in str(output.get("data", {}).get("text/html")) for output in outputs)
    expect(panel.note).to_contain_text("Not ready")
    panel.fix("Set output_name to zork-2")
    expect(panel.note).to_contain_text("Ready to train")
    panel.start_button.click()
    panel.notebook.wait_for("len(starters[-1].runs) == 2")
    expect(record).to_have_count(2)


def test_an_error_while_training_is_told_and_start_works_again(panel):
    panel.show("panel = new_panel(steps=20, fails_at=5)")
    panel.start_button.click()
    expect(panel.state).to_have_text("Failed")
    expect(panel.note).to_contain_text("the loss is not finite")
    expect(panel.root.locator(".lw-summary-failed")).to_contain_text("Lower the learning rate.")
    panel.notebook.do("starters[-1].options['fails_at'] = None")
    panel.start_button.click()
    expect(panel.state).to_have_text("Done")
    expect(panel.note).not_to_contain_text("the loss is not finite")


def test_start_refuses_errors_and_says_which(panel):
    panel.show("panel = new_panel(demo(random_crop=True))")
    expect(panel.note).to_contain_text("Not ready: 1 error")
    panel.start_button.click()
    expect(panel.note).to_contain_text("Not started.")
    expect(panel.note).to_contain_text("Dataset: Random crop")
    assert panel.notebook.ask("[panel.run, len(starters[-1].configs)]") == [None, 0]


def test_what_is_typed_while_the_kernel_is_busy_counts_for_the_start(panel):
    panel.show("panel = new_panel(steps=20)")
    panel.open_tab("Dataset")
    panel.notebook.run("import time; time.sleep(2)", cell=1, wait=False)
    panel.control("seed").fill("1")
    panel.control("seed").fill("1234")
    panel.start_button.click()
    expect(panel.state).to_have_text("Done")
    assert panel.notebook.ask("starters[-1].configs[0].seed") == 1234


def test_a_reloaded_page_shows_the_living_run(panel):
    panel.show(ENDLESS)
    panel.open_tab("Dataset")
    panel.enter("seed", "7")
    panel.start_button.click()
    expect(panel.state).to_have_text("Training")
    panel.notebook.save()
    panel.notebook.reload()
    expect(panel.state).to_have_text("Training")
    expect(panel.control("seed")).to_have_value("7")
    panel.press("Stop")
    expect(panel.state).to_contain_text("Stopped at step")


def test_a_panel_shown_again_is_the_same_panel(panel):
    panel.show(ENDLESS)
    panel.notebook.run("panel", cell=1)
    again = PanelView(panel.notebook, nth=1)
    again.open_tab("Dataset")
    again.enter("seed", "7")
    expect(panel.control("seed")).to_have_value("7")
    again.start_button.click()
    expect(panel.state).to_have_text("Training")
    again.press("Stop")
    expect(panel.state).to_contain_text("Stopped at step")


def test_stop_ends_a_cell_that_waits(panel):
    panel.notebook.run(BLOCKING, wait=False)
    state = panel.page.locator(".lw-monitor .lw-state")
    expect(state).to_have_text("Training")
    clicked = time.monotonic()
    panel.notebook.press("Stop")
    expect(state).to_contain_text("Stopped at step")
    assert time.monotonic() - clicked < STOP_LIMIT_S
    panel.notebook.wait_until_idle()
    assert panel.notebook.ask("[run.error, run.alive]") == [None, False]
