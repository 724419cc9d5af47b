"""Pictures of the dry run to look at: ``python tests/browser/preview_screenshots.py FOLDER``.

The widget in JupyterLab and the page of its own, in light and dark at two widths, and what their filters do.
"""

import argparse
import tempfile
from pathlib import Path

from preview_pictures import write_pictures
from screenshots import THEMES, WIDTHS
from sessions import browser, one_notebook

from lora_widgets.demo.config import demo_config
from lora_widgets.preview.dry_run import dry_run
from lora_widgets.preview.report import look_at_all, report_page

HEIGHT = 2200
CHANGES = {
    "output_dir": "out",
    "resolution": 512,
    "max_bucket_reso": 1024,
    "shuffle_caption": True,
    "keep_tokens": 1,
    "caption_dropout_rate": 0.1,
}
SETUP = """
from lora_widgets import DatasetPreview, demo_config
preview = DatasetPreview(demo_config(**{}))
preview
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    target = parser.parse_args().folder
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        pictures = write_pictures(Path(temporary) / "pictures")
        changes = {**CHANGES, "train_data_dir": str(pictures)}
        page = Path(temporary) / "report.html"
        run = dry_run(demo_config(**changes))
        page.write_text(report_page(run, look_at_all(run, lambda done: None)), encoding="utf-8")
        take_widget(changes, target)
        take_page(page, target)


def take_widget(changes, target):
    with one_notebook("lab") as notebook:
        notebook.run(SETUP.format(changes))
        preview = notebook.page.locator(".lw-dry")
        preview.get_by_text("pictures compared").wait_for()
        for show in ("all pictures", "with a problem"):
            marks = preview.locator("select").nth(1)
            marks.select_option(marks.locator("option", has_text=show).text_content())
            for theme, name in THEMES.items():
                notebook.use_theme(name)
                for width in WIDTHS:
                    notebook.page.set_viewport_size({"width": width, "height": HEIGHT})
                    notebook.page.wait_for_timeout(400)  # until the page has been laid out anew
                    preview.scroll_into_view_if_needed()
                    name_of_file = f"widget-{show.split()[0]}-{theme}-{width}.png"
                    notebook.page.screenshot(path=target / name_of_file)


def take_page(path, target):
    with browser() as chromium:
        for theme in THEMES:
            for width in WIDTHS:
                page = chromium.new_page(viewport={"width": width, "height": HEIGHT}, color_scheme=theme)
                page.goto(path.as_uri())
                page.screenshot(path=target / f"page-all-{theme}-{width}.png")
                page.locator("label[for=show-has-problem]").click()
                page.wait_for_timeout(400)
                page.screenshot(path=target / f"page-problems-{theme}-{width}.png", full_page=True)
                page.close()


if __name__ == "__main__":
    main()
