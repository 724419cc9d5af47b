"""An adapter file as modules by kohya's names, whatever it calls them itself."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from lora_widgets.adapters.keys import read_lora_file
from lora_widgets.errors import StateError
from lora_widgets.lora_files.family import family_of
from lora_widgets.lora_files.fusing import BY_ROW, LOW_RANK, Part, joined
from lora_widgets.lora_files.key_parts import KeyParts, split_key
from lora_widgets.lora_files.layouts import LAYOUTS, Component, Layout, kohya_path, members, owner_of
from lora_widgets.lora_files.paths import dotted, flat

Tensors = dict[str, Tensor]
Modules = Mapping[str, Tensors]


@dataclass(frozen=True)
class LoraFile:
    """What is in an adapter file; ``family`` is None where its names fit several or none.

    ``modules`` hold each module's tensors, ``lora_up.weight`` and the like, by kohya's name of the module, or
    by its own where the family is unknown. ``unknown`` are keys that belong to no module.
    """

    family: str | None
    dialect: str
    modules: Modules
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    unknown: tuple[str, ...] = ()

    @property
    def layout(self) -> Layout:
        """What its family calls things.

        Raises:
            StateError: the family is not known.
        """
        if self.family is None:
            raise StateError(
                "The names in this file fit no family that is known here, or several of them: only "
                f"{', '.join(LAYOUTS)} can be told apart. Inspecting and checking it works; nothing can be "
                "made of it."
            )
        return LAYOUTS[self.family]

    def component_of(self, name: str) -> Component:
        """Return the part that a module is in."""
        return next(part for part in self.layout.components if name.startswith(f"{part.kohya}_"))

    def path_of(self, name: str) -> str:
        """Return kohya's path of a module within its part."""
        return dotted(name.removeprefix(f"{self.component_of(name).kohya}_"))


def read_lora(path: Path | str) -> LoraFile:
    """Read an adapter file in any dialect; tensors are as stored, on the CPU.

    Raises:
        StateError: it is missing, damaged, no adapter, or stacks what cannot be stacked.
    """
    tensors, metadata = read_lora_file(path)
    found = recognised(tensors, metadata)
    if not found.modules:
        raise StateError(
            f"{path} holds no weight of an adapter: its first tensor is {next(iter(tensors), 'missing')}. "
            "Choose a LoRA file."
        )
    return found


def kohya_tensors(path: Path | str, *, family: str) -> Tensors:
    """Return the tensors of an adapter file for ``family`` by kohya's keys; unknown ones by their own.

    Raises:
        StateError: it is missing, damaged, or stacks what cannot be stacked.
    """
    tensors, metadata = read_lora_file(path)
    found = recognised(tensors, metadata, family=family)
    ours = {f"{name}.{key}": value for name, own in found.modules.items() for key, value in own.items()}
    return ours | {key: tensors[key] for key in found.unknown}


def recognised(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, family: str | None = None
) -> LoraFile:
    """Return the modules that tensors belong to, by kohya's names; ``family`` is looked for where it is None.

    Raises:
        StateError: modules of diffusers are one layer in files, but have another type than LoRA or DoRA.
    """
    keys = {key: split_key(key) for key in tensors}
    known = {key: parts for key, parts in keys.items() if parts is not None}
    # (IA)3 calls its tensor "weight", as every layer of a model does: only with its mark it is one.
    marked = {parts.module for parts in known.values() if parts.tensor == "on_input"}
    known = {k: p for k, p in known.items() if p.tensor != "weight" or p.module in marked}
    widths = {p.module: tensors[k].shape[1] for k, p in known.items() if p.tensor == "lora_down.weight"}
    family = family or family_of(set(known.values()), metadata, widths)
    dialects = Counter(parts.dialect for parts in known.values())
    modules, misplaced = _grouped(tensors, known, family)
    unknown = (*(key for key in tensors if key not in known), *misplaced)
    dialect = dialects.most_common(1)[0][0] if dialects else "kohya"
    return LoraFile(family, dialect, modules, dict(metadata), unknown)


def _grouped(
    tensors: Mapping[str, Tensor], known: Mapping[str, KeyParts], family: str | None
) -> tuple[Modules, list[str]]:
    """Return the modules by kohya's names, and the keys that are in no part of the family."""
    misplaced: list[str] = []
    modules: dict[str, Tensors] = {}
    split: dict[str, dict[int, Part]] = {}
    of_diffusers: set[str] = set()
    for key, parts in known.items():
        value = tensors[key].reshape(parts.shape_for(tensors[key]))
        if family is None:
            modules.setdefault(parts.module, {})[parts.tensor] = value
            continue
        place = _place(LAYOUTS[family], parts)
        if place is None:
            misplaced.append(key)
        elif place.count == 1:
            of_diffusers |= {place.name} if place.is_of_diffusers else set()
            modules.setdefault(place.name, {})[parts.tensor] = value
        else:
            part = split.setdefault(place.name, {}).setdefault(place.member, Part(place.count, {}))
            part.tensors[parts.tensor] = value
    for name, pieces in split.items():
        modules[name] = joined(name, pieces)
    for name in of_diffusers:
        modules[name] = _in_order_of_files(LAYOUTS[family or ""], name, modules[name])
    return modules, misplaced


def _in_order_of_files(layout: Layout, name: str, tensors: Tensors) -> Tensors:
    """Return a module's tensors with the halves of its rows swapped, if it is one whose halves are."""
    component = next(part for part in layout.components if name.startswith(f"{part.kohya}_"))
    path = dotted(name.removeprefix(f"{component.kohya}_"))
    up, down = tensors.get("lora_up.weight"), tensors.get("lora_down.weight")
    sizes = (len(up), down.shape[1]) if up is not None and down is not None else (0, 1)
    if not members(layout, component, path, rows=sizes[0], inputs=sizes[1])[0].halves_swapped:
        return tensors
    if others := tensors.keys() - LOW_RANK - BY_ROW:
        raise StateError(
            f"{name} has its halves in the other order in files of its family, and {min(others)} cannot be "
            "reordered. Use a file that was saved with the names of the family's own code."
        )
    return {k: torch.roll(t, len(t) // 2, 0) if k in BY_ROW else t for k, t in tensors.items()}


@dataclass(frozen=True)
class _Place:
    name: str
    member: int
    count: int
    is_of_diffusers: bool = False


def _place(layout: Layout, parts: KeyParts) -> _Place | None:
    """Return the module of kohya that a key belongs to; None if the family has no such part."""
    component = parts.component_in(layout)
    if component is None:
        return None
    path = parts.path if "." in parts.path else dotted(parts.path)
    if component.paths == "text":
        path = f"text_model.{path}" if path.startswith("encoder.layers.") else path
        return _Place(f"{component.kohya}_{flat(path)}", 0, 1)
    if parts.dialect == "native":
        return _Place(f"{component.kohya}_{flat(kohya_path(layout, component, path))}", 0, 1)
    owner, member, count = owner_of(layout, component, path)
    if component.paths == "unet":
        owner = kohya_path(layout, component, path)  # some programs write LDM's names for SD1.5
    return _Place(f"{component.kohya}_{flat(owner)}", member, count, is_of_diffusers=owner != path)
