"""Lets the tests here say `from preview_folder import draw`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from preview_folder import make_folder, settings_for


@pytest.fixture
def pictures(tmp_path):
    return make_folder(tmp_path / "pictures")


@pytest.fixture
def make_config(pictures):
    return lambda **changes: settings_for(pictures, **changes)
