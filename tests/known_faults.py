"""Faults of the libraries, by version, that tests which meet them are marked with."""

import diffusers
import pytest
from packaging.version import Version

no_lora_for_clip = pytest.mark.xfail(
    Version(diffusers.__version__) < Version("0.40"),
    raises=IndexError,
    reason="diffusers 0.39 finds no CLIP of transformers 5 by kohya's names, which have a level it dropped",
)
