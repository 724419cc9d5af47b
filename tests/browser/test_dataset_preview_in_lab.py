"""The dry run of a data set in a real JupyterLab, and its page in a real browser."""

import pytest
from preview_pictures import write_pictures

from lora_widgets.demo.config import demo_config
from lora_widgets.preview.dry_run import dry_run
from lora_widgets.preview.report import look_at_all, report_page

pytestmark = pytest.mark.browser

CELL = """
from lora_widgets import DatasetPreview, demo_config
changes = {changes!r}
preview = DatasetPreview(demo_config(**changes))
preview
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), 120, size_factor=0.4)


def changes(folder):
    return {"train_data_dir": str(folder), "output_dir": "out", "resolution": 256, "max_bucket_reso": 512}


def cards(page):
    return page.locator(".lw-dry .lw-card:visible")


def test_pages_turn_and_filters_filter(lab, folder):
    from playwright.sync_api import expect

    notebook = lab([""])
    notebook.run(CELL.format(changes=changes(folder)))
    page = notebook.page
    expect(cards(page)).to_have_count(24)
    expect(cards(page).locator("img")).to_have_count(24)
    first = cards(page).first.locator(".lw-card-name").text_content()
    notebook.press("Next")
    expect(page.locator(".lw-dry select").nth(2)).to_have_value("2 of 6")
    expect(cards(page).first.locator(".lw-card-name")).not_to_have_text(first)
    expect(cards(page).locator("img")).to_have_count(24)
    expect(page.locator(".lw-looking")).to_contain_text("look alike")
    page.locator(".lw-dry select").nth(1).select_option("look alike (5)")
    expect(cards(page)).to_have_count(5)
    expect(page.locator(".lw-bucket-heading")).to_have_count(2)
    expect(cards(page).first.locator("img")).to_have_js_property("naturalWidth", 256)
    assert page.title() != "broken"
    assert notebook.errors == []


def test_the_page_filters_without_a_script(chromium, folder, tmp_path):
    from playwright.sync_api import expect

    run = dry_run(demo_config(**changes(folder)))
    path = tmp_path / "report.html"
    path.write_text(report_page(run, look_at_all(run, lambda done: None)), encoding="utf-8")
    context = chromium.new_context(offline=True)
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    expect(cards(page)).to_have_count(len(run.cards))
    page.locator("label[for=show-is-duplicate]").click()
    expect(cards(page)).to_have_count(5)
    page.locator(".lw-alike a").first.click()
    expect(page.locator(".lw-card:target")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.title() == "zibbo: what the model will see"
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()
