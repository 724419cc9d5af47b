"""Flux and SD3: a transformer, and parts beside it that can be files of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_widgets.errors import ModelError
from lora_widgets.families.part_classes import PartClass
from lora_widgets.families.parts import FilePart, FolderPart, PartLayout, PartPlace
from lora_widgets.families.weight_file import WeightFile, find_weight_file
from lora_widgets.families.weights import Source, locate_vae


@dataclass(frozen=True)
class OwnFile:
    """A part that the setting called ``setting`` can name; ``layout`` says how single files hold it."""

    setting: str
    layout: PartLayout


def part_of_setting(own: OwnFile, config: Any, model_config: Mapping[str, Any]) -> PartPlace | None:
    """Return the part that its setting names, None where it is empty; a file is built as ``model_config``.

    Raises:
        ModelError: nothing usable is there.
    """
    value = _values(config)[own.setting]
    if not value:
        return None
    file = find_weight_file(own.setting, value)
    if file is not None:
        file.refuse_misplaced(config.model_type)
        return FilePart(file, own.layout, model_config)
    if own.setting == "vae_path":
        source = locate_vae(value)
        return FolderPart(source, "", own.layout.kind, source.read_json("config.json") or {})
    found = "a folder" if Path(value).expanduser().is_dir() else "but nothing is there"
    raise ModelError(
        f"`{own.setting}` is {value!r}, {found}. Set it to a .safetensors file with the "
        f"{own.layout.words}, or leave it empty where the base model has its own."
    )


def part_inside(file: WeightFile, own: OwnFile, model_config: Mapping[str, Any]) -> FilePart | None:
    """Return the part as the file of the base model holds it; None where it does not."""
    if any(name.startswith(own.layout.start) for name in file.shapes):
        return FilePart(file, own.layout, model_config)
    return None


def part_of_folder(model: Source, name: str, kind: PartClass, *, whole: str, setting: str = "") -> FolderPart:
    """Return a part of a folder in diffusers layout; ``whole`` says what a complete one is.

    ``setting`` is the one that can name a file with this part, if there is one.

    Raises:
        ModelError: the folder does not have it.
    """
    index, config = model.read_json("model_index.json"), model.read_json(f"{name}/config.json")
    if index is None or config is None:
        missing = "model_index.json" if index is None else f"{name}/config.json"
        own = f", or set `{setting}` to a file with this part" if setting else ""
        raise ModelError(
            f"`{model.setting}` is {model.place!r}, which has no {missing}, so it is no complete "
            f"{whole}{own}."
        )
    return FolderPart(model, name, kind, config)


def _values(config: Any) -> dict[str, str | None]:
    return {
        "vae_path": config.vae_path,
        "clip_l_path": config.clip_l_path,
        "clip_g_path": config.clip_g_path,
        "t5xxl_path": config.t5xxl_path,
    }
