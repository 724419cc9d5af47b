"""Pictures of the panel to look at: ``python tests/browser/screenshots.py FOLDER [--front-end classic]``.

Each tab in light and dark at two widths, a form with errors, and the monitor during and after a run.
"""

import argparse
from pathlib import Path

from panel_view import PanelView
from playwright.sync_api import expect
from sessions import FRONT_ENDS, one_notebook

from lora_widgets.config.tabs import Tab

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
WIDTHS = (1400, 600)
HEIGHT = 2600  # nothing is cut off
LIMIT_MS = 30_000  # the run that is pictured takes about ten seconds
PANEL = 'panel = new_panel(demo(project_name="zibbo"), steps=160, step_s=0.05)'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--front-end", choices=FRONT_ENDS, default="lab")
    options = parser.parse_args()
    expect.set_options(timeout=LIMIT_MS)
    options.folder.mkdir(parents=True, exist_ok=True)
    with one_notebook(options.front_end) as notebook:
        notebook.do("from panels import *")
        for theme in THEMES if hasattr(notebook, "use_theme") else ("light",):
            take_all(notebook, theme, options.folder)


def take_all(notebook, theme, folder):
    if hasattr(notebook, "use_theme"):
        notebook.use_theme(THEMES[theme])
    panel = PanelView(notebook)

    def take(what):
        for width in WIDTHS:
            notebook.page.set_viewport_size({"width": width, "height": HEIGHT})
            notebook.page.wait_for_timeout(400)  # until the page has been laid out anew
            panel.root.screenshot(path=folder / f"{what}-{theme}-{width}.png")

    notebook.do("forget_everything()")
    panel.show(PANEL)
    expect(panel.steps).to_have_text("160")
    for tab in Tab:
        panel.open_tab(tab.value)
        take(tab.value.lower().replace(" ", "-"))
    panel.open_tab("Dataset")
    panel.enter("seed", "seven")
    panel.control("random_crop").check()
    expect(panel.findings.locator(".lw-finding-error")).to_have_count(1)
    take("errors")
    panel.enter("seed", "7")
    panel.control("random_crop").uncheck()
    expect(panel.note).to_contain_text("Ready")
    panel.start_button.click()
    notebook.wait_for("panel.run is not None and panel.run.alive")
    expect(panel.root.locator(".lw-monitor .lw-cell img").nth(3)).to_be_visible()
    panel.press("Pause")
    take("during")
    panel.press("Continue")
    expect(panel.state).to_have_text("Done")
    take("after")


if __name__ == "__main__":
    main()
