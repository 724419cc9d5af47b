"""Runs a notebook with nbval, as a user's kernel would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=600"]


@pytest.fixture
def run_notebook(tmp_path):
    """Run a copy of a notebook in ``tmp_path``, its text changed by ``(old, new)`` pairs; it must pass."""

    def run(notebook, *changes):
        text = notebook.read_text(encoding="utf-8")
        for old, new in changes:
            assert text.count(old) == 1
            text = text.replace(old, new)
        copy = tmp_path / notebook.name
        copy.write_text(text, encoding="utf-8")
        ran = subprocess.run(
            [*COMMAND, "-p", "no:cacheprovider", str(copy)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout[-4000:]

    return run
