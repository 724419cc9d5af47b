"""axe-core finds nothing serious in the panel and the monitor, in light and dark."""

from importlib.resources import files

import pytest
from panel_view import PanelView
from playwright.sync_api import expect

from lora_widgets.config.tabs import Tab

pytestmark = pytest.mark.browser

AXE = files("axe_playwright_python").joinpath("axe.min.js")
CHECK = """async selector => (await axe.run(selector, {
  resultTypes: ['violations'],
  runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'],
})).violations
  .filter(violation => ['serious', 'critical'].includes(violation.impact))
  .map(({id, nodes}) => `${id}: ${nodes.map(node => node.html.slice(0, 160) + ' | ' +
     (node.any[0] || node.all[0] || node.none[0] || {}).message).slice(0, 3).join(' || ')}`)"""
THEMES = ("JupyterLab Dark", "JupyterLab Light")


def violations(page, selector):
    if not page.evaluate("() => !!window.axe"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    return page.evaluate(CHECK, selector)


@pytest.fixture
def in_each_theme(notebook):
    """Switch through the themes the page has; ends with the light one."""

    def themes():
        if notebook.server.front_end.name != "lab":  # Notebook 7 has the same themes
            yield "light"
            return
        for theme in THEMES:
            notebook.use_theme(theme)
            yield theme

    return themes


def test_nothing_serious_in_the_panel_and_its_monitor(notebook, in_each_theme):
    panel = PanelView(notebook).show("panel = new_panel(demo(random_crop=True), steps=40)")
    panel.open_tab("Dataset")
    panel.enter("seed", "seven")
    found = {}
    for theme in in_each_theme():
        for tab in Tab:
            panel.open_tab(tab.value)
            found[theme, tab.value] = violations(panel.page, ".lw-panel")
    panel.open_tab("Dataset")
    panel.enter("seed", "7")
    panel.fix("Turn random_crop off")
    panel.start_button.click()
    expect(panel.state).to_have_text("Done")
    for theme in in_each_theme():
        found[theme, "run"] = violations(panel.page, ".lw-panel")
        panel.page.locator("details.lw-record > summary").click()
        found[theme, "kept"] = violations(panel.page, ".lw-record")
        panel.page.locator("details.lw-record > summary").click()
    assert {place: what for place, what in found.items() if what} == {}
