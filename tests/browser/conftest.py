"""Fixtures that drive a real Chromium against real Jupyter servers; skipped where there is no Chromium."""

import contextlib
import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent / "panel")]

from sessions import CHROMIUM, COLAB_PYTHON, FRONT_ENDS, browser, close, open_notebook, served  # noqa: E402

EXPECT_LIMIT_MS = 20_000


@pytest.fixture(scope="session")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    playwright.expect.set_options(timeout=EXPECT_LIMIT_MS)
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"no Chromium at {CHROMIUM}; set LORA_WIDGETS_CHROMIUM to its place")
    with browser() as started:
        yield started


@pytest.fixture(scope="session")
def server_of(tmp_path_factory):
    """Start the server of a front end when it is first asked for: server_of("lab")."""
    running = {}
    with contextlib.ExitStack() as until_the_end:

        def server(name):
            if name not in running:
                root, state = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("jupyter")
                running[name] = until_the_end.enter_context(served(name, root, state))
            return running[name]

        yield server


@pytest.fixture
def server(server_of):
    return server_of("lab")


@pytest.fixture
def lab(server, chromium, request):
    """Open a notebook in JupyterLab: lab("file.ipynb") or lab(["code of a cell", ...])."""
    opened = []

    def opener(cells):
        opened.append(open_notebook(chromium, server, cells, name=f"{request.node.name}_{len(opened)}"))
        return opened[-1]

    yield opener
    for notebook in opened:
        close(notebook)


@pytest.fixture(scope="session", params=FRONT_ENDS)
def shared_notebook(request, chromium, server_of):
    """One notebook for all tests of a front end: starting a kernel takes longer than most of the tests."""
    if request.param == "classic" and not COLAB_PYTHON:
        pytest.skip("no Colab stack: .ci/colab-stack FOLDER; LORA_WIDGETS_COLAB_PYTHON=FOLDER/bin/python")
    notebook = open_notebook(chromium, server_of(request.param), ["", ""], name="panel")
    notebook.do("from panels import *")
    yield notebook
    close(notebook)


@pytest.fixture
def notebook(shared_notebook):
    """The open notebook, emptied of what the last test left; no test may leave an error in its page."""
    shared_notebook.do("forget_everything()")
    for cell in (0, 1):
        shared_notebook.run("pass", cell=cell)  # the classic notebook would not run nothing
    shared_notebook.errors.clear()
    yield shared_notebook
    assert shared_notebook.errors == []
