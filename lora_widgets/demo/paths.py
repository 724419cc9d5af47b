"""Where the embedded model and pictures lie. Found by path, never by network."""

from pathlib import Path

DEMO = "demo"
"""The word that stands for the embedded model or pictures wherever a setting takes a path."""

_HERE = Path(__file__).parent


def model_folder() -> Path:
    """Return the base model's folder, in diffusers layout."""
    return _HERE / "model"


def dataset_folder() -> Path:
    """Return the folder of training pictures, in kohya layout."""
    return _HERE / "dataset"
