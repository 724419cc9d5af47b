"""A browser, the servers it can look at, and notebooks open in it; for the tests, the bench and pictures.

The classic notebook needs a Python of its own, with Colab's widget stack: `.ci/colab-stack FOLDER` makes one,
and LORA_WIDGETS_COLAB_PYTHON names its `bin/python`.
"""

import contextlib
import os
import tempfile
from pathlib import Path

import nbformat
from classic_page import ClassicPage
from lab_page import LabPage
from servers import LAB, NOTEBOOK_7, classic, jupyter_server

TESTS = Path(__file__).parents[1]
CHROMIUM = os.environ.get("LORA_WIDGETS_CHROMIUM", "/usr/bin/chromium")
COLAB_PYTHON = os.environ.get("LORA_WIDGETS_COLAB_PYTHON", "")
FRONT_ENDS = {"lab": LAB, "notebook7": NOTEBOOK_7, "classic": classic(COLAB_PYTHON)}
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
)


@contextlib.contextmanager
def browser():
    """Start Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(FLAGS))
        yield chromium
        chromium.close()


def served(front_end, root, state):
    """Start a front end's server on the folder ``root``; kernels can import what helps the tests."""
    places = (TESTS.parent, TESTS, TESTS / "widgets", TESTS / "panel", TESTS / "bench")
    python_path = os.pathsep.join(map(str, places))
    return jupyter_server(FRONT_ENDS[front_end], root, state, python_path=python_path)


def open_notebook(chromium, server, cells, *, name, width=1280):
    """Open a notebook in a page of its own; ``cells`` are codes, or the name of a file that is there."""
    if isinstance(cells, list):
        document = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
        spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        document.metadata["kernelspec"] = spec
        cells = f"{name}.ipynb"
        nbformat.write(document, server.root / cells)
    page = chromium.new_page(viewport={"width": width, "height": 1100})
    driver = ClassicPage if server.front_end.name == "classic" else LabPage
    return driver(page, server, cells).open()


def close(notebook):
    """End the notebook's kernel and close its page."""
    if not notebook.page.is_closed():
        notebook.shut_down_kernel()
        notebook.page.close()


@contextlib.contextmanager
def one_notebook(front_end):
    """Open an empty notebook of two cells, with everything it needs; for scripts."""
    with contextlib.ExitStack() as until_the_end:
        root, state = (until_the_end.enter_context(tempfile.TemporaryDirectory()) for _ in range(2))
        server = until_the_end.enter_context(served(front_end, Path(root), Path(state)))
        chromium = until_the_end.enter_context(browser())
        notebook = open_notebook(chromium, server, ["", ""], name="notebook")
        yield notebook
        close(notebook)
