"""Fixtures that drive a real Chromium against a real JupyterLab; skipped where there is no Chromium."""

import os
import shutil
import sys
from pathlib import Path

import nbformat
import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
sys.path.insert(0, str(HERE))

from lab_page import LabPage  # noqa: E402
from lab_server import lab_server  # noqa: E402

CHROMIUM = os.environ.get("LORA_WIDGETS_CHROMIUM", "/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
)


@pytest.fixture(scope="session")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"no Chromium at {CHROMIUM}; set LORA_WIDGETS_CHROMIUM to its place")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    python_path = os.pathsep.join([str(REPOSITORY), str(HERE.parent / "widgets")])
    root, state = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("jupyter")
    with lab_server(root, state, python_path=python_path) as running:
        yield running


@pytest.fixture
def lab(server, chromium, request):
    """Open a notebook in a page of its own: lab("file.ipynb") or lab(["code of a cell", ...])."""
    opened = []

    def open_notebook(notebook):
        if isinstance(notebook, list):
            name = f"{request.node.name}_{len(opened)}.ipynb"
            document = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in notebook])
            document.metadata["kernelspec"] = {
                "name": "python3",
                "display_name": "Python 3",
                "language": "python",
            }
            nbformat.write(document, server.root / name)
            notebook = name
        page = chromium.new_page(viewport={"width": 1280, "height": 1100})
        opened.append(LabPage(page, server, notebook).open())
        return opened[-1]

    yield open_notebook
    for notebook in opened:
        if not notebook.page.is_closed():
            notebook.shut_down_kernel()
            notebook.page.close()
