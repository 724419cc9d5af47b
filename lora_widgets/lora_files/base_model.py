"""A base model on disk, seen as what an adapter sees of it: modules by kohya's names, and where they lie."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from lora_widgets.config.misplaced import BASE_MODEL
from lora_widgets.errors import ModelError
from lora_widgets.families.weight_file import WeightFile, find_weight_file
from lora_widgets.lora_files.layouts import LAYOUTS, Component, Layout, kohya_path, members, owner_of
from lora_widgets.lora_files.paths import dotted, flat

_OPEN_CLIP = re.compile(r"transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)")
_OF_OPEN_CLIP = {
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
}
_ONE_EACH = ("q_proj", "k_proj", "v_proj")


@dataclass(frozen=True)
class Slot:
    """Rows of a tensor that are, in this order, rows of a module; None means all of the tensor."""

    tensor: str
    rows: slice | None = None
    halves_swapped: bool = False

    def taken(self, tensor: Tensor) -> Tensor:
        """Return the module's rows of the tensor, in the module's order."""
        own = tensor if self.rows is None else tensor[self.rows]
        return torch.roll(own, len(own) // 2, 0) if self.halves_swapped else own

    def given_back(self, rows: Tensor) -> Tensor:
        """Return the module's rows in the tensor's order."""
        return torch.roll(rows, len(rows) // 2, 0) if self.halves_swapped else rows


@dataclass
class BaseModule:
    """Where the weight and the bias of a module lie."""

    weight: list[Slot] = field(default_factory=list[Slot])
    bias: list[Slot] = field(default_factory=list[Slot])


@dataclass(frozen=True)
class BaseModel:
    """A model of ``family``: its files by their path below ``root``, and its modules.

    Names of tensors are the file's path, "::" and the tensor's own name.
    """

    family: str
    root: Path
    files: Mapping[str, WeightFile]
    modules: Mapping[str, BaseModule]
    is_folder: bool

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        file, _, tensor = name.partition("::")
        return tuple(self.files[file].shapes[tensor])

    def read(self, name: str) -> Tensor:
        """Return a tensor as stored."""
        file, _, tensor = name.partition("::")
        return next(value for _, value in self.files[file].read([tensor]))

    def stacked(self, slots: Iterable[Slot]) -> Tensor:
        """Return what slots hold together, as one tensor of float32."""
        return torch.cat([slot.taken(self.read(slot.tensor)).float() for slot in slots])

    def size(self, module: str) -> tuple[int, ...]:
        """Return the shape of a module's whole weight."""
        slots = self.modules[module].weight
        shapes = [self.shape(slot.tensor) for slot in slots]
        rows = sum(_length(slot.rows, shape[0]) for slot, shape in zip(slots, shapes, strict=True))
        return (rows, *shapes[0][1:])


def open_base(path: Path | str, *, family: str | None) -> BaseModel:
    """Open a base model in one .safetensors or .ckpt file, or in a diffusers folder.

    ``family`` tells what a folder holds; a file tells it itself.

    Raises:
        ModelError: it is missing, damaged, or none of a family that is known here.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise ModelError(f"The base model {path} is not there. Check the path.")
    if path.is_dir():
        return _of_folder(path, family or _family_of_folder(path))
    file = find_weight_file(BASE_MODEL, str(path))
    assert file is not None  # it is there, and no folder
    kind = file.kind
    if kind.role != "base model" or not kind.families:
        raise ModelError(
            f"{path} is {kind.words}, not a base model of {', '.join(LAYOUTS)}. Choose such a model."
        )
    return _of_file(path, file, LAYOUTS[kind.families[0]])


def _of_file(path: Path, file: WeightFile, layout: Layout) -> BaseModel:
    modules: dict[str, BaseModule] = {}
    for component in layout.components:
        start = _start_in(file, component)
        others = tuple(s for other in layout.components if other is not component for s in other.in_file if s)
        for name, shape in file.shapes.items():
            if not name.startswith(start) or (not start and name.startswith(others)):
                continue
            for module, slot, leaf in _in_file(layout, component, name.removeprefix(start), name, shape):
                own = modules.setdefault(module, BaseModule())
                slots = own.weight if leaf == "weight" else own.bias
                slots.append(Slot(f"{path.name}::{slot.tensor}", slot.rows))
    return BaseModel(layout.family, path.parent, {path.name: file}, modules, is_folder=False)


def _in_file(
    layout: Layout, component: Component, inside: str, name: str, shape: tuple[int, ...]
) -> Iterator[tuple[str, Slot, str]]:
    """Yield the modules that have rows of a tensor of a single file."""
    if match := _OPEN_CLIP.fullmatch(inside):
        place = f"{component.kohya}_text_model_encoder_layers_{match[1]}_"
        if match[2] == "attn.in_proj":
            each = shape[0] // 3
            for i, module in enumerate(_ONE_EACH):
                yield f"{place}self_attn_{module}", Slot(name, slice(i * each, (i + 1) * each)), match[3]
        elif ours := _OF_OPEN_CLIP.get(match[2]):
            yield place + flat(ours), Slot(name), match[3]
        return
    native, _, leaf = inside.rpartition(".")
    if leaf in ("weight", "bias"):
        path = _long(native) if component.paths == "text" else kohya_path(layout, component, native)
        yield f"{component.kohya}_{flat(path)}", Slot(name), leaf


def _of_folder(root: Path, family: str) -> BaseModel:
    layout, files = LAYOUTS[family], {}
    parts: dict[str, dict[str, dict[int, str]]] = {}
    for component in layout.components:
        for path in _weights_in(root / component.diffusers):
            place = path.relative_to(root).as_posix()
            file = find_weight_file(BASE_MODEL, str(path))
            assert file is not None  # it was listed
            files[place] = file
            for name in file.shapes:
                inside, _, leaf = name.rpartition(".")
                if leaf in ("weight", "bias"):
                    path_here = _long(inside) if component.paths == "text" else inside
                    owner, member, _ = owner_of(layout, component, path_here)
                    found = parts.setdefault(f"{component.kohya}_{flat(owner)}", {})
                    found.setdefault(leaf, {})[member] = f"{place}::{name}"
    if not files:
        raise ModelError(
            f"{root} has no weights of a {family} model in "
            f"{', '.join(part.diffusers for part in layout.components)}. Choose a "
            "folder in diffusers layout, with its weights in .safetensors files."
        )
    bare = BaseModel(family, root, files, {}, is_folder=True)
    return replace(bare, modules={n: _stacked(bare, layout, n, found) for n, found in parts.items()})


def _stacked(
    model: BaseModel, layout: Layout, name: str, leaves: Mapping[str, Mapping[int, str]]
) -> BaseModule:
    """Return a module's slots in order; its sizes tell whether its halves are swapped."""
    component = next(part for part in layout.components if name.startswith(f"{part.kohya}_"))
    slots = {leaf: [Slot(tensors[i]) for i in sorted(tensors)] for leaf, tensors in leaves.items()}
    shape = model.shape(leaves["weight"][min(leaves["weight"])]) if "weight" in leaves else ()
    if len(shape) == 2 and component.paths == "blocks" and len(slots["weight"]) == 1:
        path = dotted(name.removeprefix(f"{component.kohya}_"))
        if members(layout, component, path, rows=shape[0], inputs=shape[1])[0].halves_swapped:
            slots = {
                leaf: [Slot(s.tensor, halves_swapped=True) for s in found] for leaf, found in slots.items()
            }
    return BaseModule(slots.get("weight", []), slots.get("bias", []))


def _weights_in(folder: Path) -> list[Path]:
    """Return the weight files of a part: one, or those that its index names; never a second number format."""
    if not folder.is_dir():
        return []
    if indices := sorted(folder.glob("*.safetensors.index.json")):
        listed = json.loads(indices[0].read_text(encoding="utf-8"))["weight_map"].values()
        return [folder / name for name in sorted(set(listed))]
    plain = [folder / name for name in ("diffusion_pytorch_model.safetensors", "model.safetensors")]
    return [path for path in plain if path.is_file()] or sorted(folder.glob("*.safetensors"))[:1]


def _family_of_folder(root: Path) -> str:
    try:
        kind = str(json.loads((root / "model_index.json").read_text(encoding="utf-8"))["_class_name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{root} has no model_index.json that says what it is. Choose a folder in diffusers layout."
        ) from error
    starts = {
        "StableDiffusionXL": "SDXL",
        "StableDiffusion3": "SD3",
        "Flux": "Flux",
        "StableDiffusion": "SD1.5",
    }
    family = next((family for start, family in starts.items() if kind.startswith(start)), None)
    if family is None:
        raise ModelError(f"{root} is a {kind}, not a model of {', '.join(LAYOUTS)}. Choose such a model.")
    return family


def _start_in(file: WeightFile, component: Component) -> str:
    """Return how names of a part begin in a file; a denoiser alone in its file may have no beginning."""
    found = [s for s in component.in_file if s and any(name.startswith(s) for name in file.shapes)]
    return (found or ["" if "" in component.in_file else component.in_file[0]])[0]


def _long(path: str) -> str:
    """Return a path in a CLIP text encoder with the level that transformers 5 dropped."""
    return f"text_model.{path}" if path.startswith("encoder.layers.") else path


def _length(rows: slice | None, of: int) -> int:
    return of if rows is None else len(range(of)[rows])
