"""What a transformer's modules are called in files that keep the layout of its authors' code."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class NativePlace:
    """A module of a block in its authors' code; ``row`` orders those whose weights are stacked into it."""

    path: str
    row: int = 0


@dataclass(frozen=True)
class NativeBlocks:
    """One kind of block: its list here, its list in files, and the modules of such a block."""

    ours: str
    native: str
    modules: Mapping[str, NativePlace]


def fused(path: str, *members: str) -> dict[str, NativePlace]:
    """Return the places of ``members`` whose weights, in this order, make up the module ``path``."""
    return {member: NativePlace(path, row) for row, member in enumerate(members)}


def native_path(blocks: tuple[NativeBlocks, ...], outside: Mapping[str, str]) -> Callable[[str], str]:
    """Return the function from a module's path to its path in files, which is its own if none is known.

    ``outside`` has the modules outside of blocks: path in files -> path here.
    """
    others = {ours: native for native, ours in outside.items()}

    def path_in_files(path: str) -> str:
        for kind in blocks:
            if found := _in_block(kind, path):
                index, place = found
                return f"{kind.native}.{index}.{place.path}"
        return others.get(path, path)

    return path_in_files


def native_row(blocks: tuple[NativeBlocks, ...]) -> Callable[[str], int]:
    """Return the function from a module's path to its place among those that share its path in files."""

    def place_in_files(path: str) -> int:
        return next((found[1].row for kind in blocks if (found := _in_block(kind, path))), 0)

    return place_in_files


def members_of(blocks: tuple[NativeBlocks, ...], outside: Mapping[str, str], path: str) -> tuple[str, ...]:
    """Return the paths here of the modules that make up a module in files; none for an unknown path."""
    if path in outside:
        return (outside[path],)
    for kind in blocks:
        if match := re.fullmatch(rf"{kind.native}\.(\d+)\.(.+)", path):
            found = [ours for ours, place in kind.modules.items() if place.path == match[2]]
            return tuple(f"{kind.ours}.{match[1]}.{ours}" for ours in found)
    return ()


def _in_block(kind: NativeBlocks, path: str) -> tuple[str, NativePlace] | None:
    """Return the block's number and the module's place in it, or None for another kind of path."""
    match = re.fullmatch(rf"{kind.ours}\.(\d+)\.(.+)", path)
    place = kind.modules.get(match[2]) if match else None
    return (match[1], place) if match and place else None
