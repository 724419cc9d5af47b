"""Parts of a base model that can be files of their own, as those of Flux and SD3 often are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lora_widgets.errors import ModelError
from lora_widgets.families.native_names import Rename
from lora_widgets.families.parts import FilePart, FolderPart, PartPlace
from lora_widgets.families.weight_file import WeightFile, find_weight_file
from lora_widgets.families.weights import locate_vae


@dataclass(frozen=True)
class OwnFile:
    """How such a part is chosen and called: its setting, its words, where its names begin in a base model."""

    setting: str
    words: str
    start: str
    rename: Rename


def part_of_setting(
    own: OwnFile, value: str | None, *, model_type: str, model_config: Mapping[str, Any]
) -> PartPlace | None:
    """Return the part that its setting names, None where it is empty; a file is built as ``model_config``.

    Raises:
        ModelError: nothing usable is there.
    """
    if not value:
        return None
    file = find_weight_file(own.setting, value)
    if file is not None:
        file.refuse_misplaced(model_type)
        refuse_scaled(file)
        return FilePart(file, own.words, model_config, own.rename)
    if own.setting == "vae_path":
        source = locate_vae(value)
        return FolderPart(source, "", source.read_json("config.json") or {})
    raise ModelError(
        f"`{own.setting}` is {value!r}, but it must be a .safetensors file with the {own.words}. Set "
        "it to such a file, or leave it empty where the base model has its own."
    )


def part_inside(file: WeightFile, own: OwnFile, model_config: Mapping[str, Any]) -> FilePart | None:
    """Return the part as the file of the base model holds it; None where it does not."""
    if any(name.startswith(own.start) for name in file.shapes):
        return FilePart(file, own.words, model_config, own.rename)
    return None


def refuse_scaled(file: WeightFile) -> None:
    """Make sure that the numbers in a file are the weights themselves.

    Raises:
        ModelError: they have to be multiplied by scales first.
    """
    if any(name.endswith(("scale_weight", "weight_scale", "scaled_fp8")) for name in file.shapes):
        raise ModelError(
            f"`{file.setting}` is {str(file.path)!r}, whose weights are quantised with scales of their own, "
            "which cannot be read here. Use the file in bf16, fp16 or plain fp8."
        )
