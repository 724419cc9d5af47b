"""Resuming: one file per stage, written under another name first so that a crash cannot spoil it."""

from pathlib import Path
from typing import Any

import torch


def save(path: Path, state: dict[str, Any]) -> None:
    """Write atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    torch.save(state, fresh)
    fresh.replace(path)


def load(path: Path) -> dict[str, Any] | None:
    """Return what was saved, or None where there is nothing yet."""
    return torch.load(path, weights_only=True) if path.exists() else None
