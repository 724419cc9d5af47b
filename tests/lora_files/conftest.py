"""Tiny base models of every family and layout."""

from functools import cache

import pytest
from tiny import make_tiny, make_tiny_file


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory):
    """Return a function that writes a tiny model once, as a folder or a single file, to be read only."""
    root = tmp_path_factory.mktemp("models")

    @cache
    def make(model, layout):
        name = {"flux": "flux-dev"}.get(model, model)
        return (
            make_tiny(name, root / name)
            if layout == "folder"
            else make_tiny_file(f"tiny-{name}.safetensors", root)
        )

    return make
