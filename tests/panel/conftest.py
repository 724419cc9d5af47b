"""Lets the tests here say `from panels import new_panel`."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "widgets")]
