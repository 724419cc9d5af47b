"""How large a base model is, part by part, from the headers of its files; nothing is loaded, torch-free."""

import json
import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Literal

from lora_widgets.config.activations import Activations, activations_of
from lora_widgets.config.facts import BaseModelFacts, PartSize
from lora_widgets.config.misplaced import BASE_MODEL
from lora_widgets.config.weight_headers import read_header
from lora_widgets.demo.paths import DEMO, model_folder
from lora_widgets.errors import ModelError

Part = Literal["denoiser", "text_encoder", "vae"]
Shapes = Mapping[str, tuple[int, ...]]

_DENOISERS = ("unet", "transformer")
_FOLDERS: dict[str, Part] = {
    "unet": "denoiser",
    "transformer": "denoiser",
    "text_encoder": "text_encoder",
    "text_encoder_2": "text_encoder",
    "text_encoder_3": "text_encoder",
    "vae": "vae",
}
_BLOCK = re.compile(r"(double|single|joint)_blocks\.(\d+)\.")
_BLOCK_OF_TRANSFORMER = re.compile(
    r"(?:model\.diffusion_model\.)?(single_)?(?:transformer_|double_|joint_)?blocks\.(\d+)\."
)
# How tensors of a single file begin; what begins otherwise is a denoiser that is alone in its file.
_PREFIXES: tuple[tuple[str, Part], ...] = (
    ("first_stage_model.", "vae"),
    ("vae.", "vae"),
    ("cond_stage_model.", "text_encoder"),
    ("conditioner.", "text_encoder"),
    ("text_encoders.", "text_encoder"),
)
PART_FILES: dict[str, Part] = {
    "vae_path": "vae",
    "clip_l_path": "text_encoder",
    "clip_g_path": "text_encoder",
    "t5xxl_path": "text_encoder",
}
# The layers that LoRA adapts: those of transformers and attention, not the embeddings beside them.
_ADAPTED: dict[Part, re.Pattern[str]] = {
    "denoiser": re.compile(r"transformer_blocks\.|\.proj_(in|out)\.|(double|single|joint)_blocks\."),
    "text_encoder": re.compile(r"attn|mlp"),  # CLIP; a T5 never learns
    "vae": re.compile(r"(?!)"),
}
_OF_T5 = re.compile(r"(^|\.)(encoder\.block\.\d|encoder\.final_layer_norm\.|shared\.)")
# Single files have no configuration; those of the families' own models. What is left out are the defaults.
SINGLE_FILE_CONFIGS: dict[str, dict[str, Any]] = {
    "SD1.5": {"block_out_channels": (320, 640, 1280, 1280)},
    "SDXL": {
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
    },
}


def base_model_facts(values: Mapping[str, object]) -> BaseModelFacts | None:
    """Return the size of the base model that settings name, as entered.

    None where none is chosen, or it is not here, damaged or in files without a header.
    """
    name, family = (str(values.get(setting) or "").strip() for setting in (BASE_MODEL, "model_type"))
    separate = {setting: str(values.get(setting) or "").strip() for setting in PART_FILES}
    if not name:
        return None
    try:
        place = model_folder() if name == DEMO else Path(name).expanduser()
        found = _of_folder(place) if place.is_dir() else _of_file(place)
        for setting, value in separate.items():
            if value and (shapes := _part_shapes(Path(value).expanduser())):
                part = PART_FILES[setting]
                size = part_size(shapes, part)
                found[part] = size if part == "vae" else _sum(found.get(part), size)
        if "denoiser" not in found:
            return None
        config, vae = _configs(place, family)
    except (ModelError, OSError, ValueError, RuntimeError):  # the start names what is wrong with a file
        return None
    widths = tuple(int(width) for width in vae.get("block_out_channels", ()))
    return BaseModelFacts(
        denoiser=found["denoiser"],
        text_encoder=found.get("text_encoder", PartSize()),
        vae=found.get("vae", PartSize()),
        activations=config,
        latent_factor=2 ** (len(widths) - 1) if widths else 8,
        vae_channels=(widths[0], widths[min(1, len(widths) - 1)]) if widths else (128, 256),
    )


def part_size(shapes: Shapes, part: Part) -> PartSize:
    """Count the numbers of a part with tensors of these shapes."""
    linear = {name: shape for name, shape in shapes.items() if name.endswith("weight") and _is_linear(shape)}
    adapted = [shape[:2] for name, shape in linear.items() if _ADAPTED[part].search(name)]
    return PartSize(
        numbers=sum(map(prod, shapes.values())),
        linear=sum(prod(shape) for name, shape in linear.items() if "embed" not in name and len(shape) == 2),
        adapted=sum(map(prod, adapted)),
        adapted_sides=sum(map(sum, adapted)),
        blocks=_numbers_of_blocks(shapes, ""),
        single_blocks=_numbers_of_blocks(shapes, "single_"),
        t5=sum(prod(shape) for name, shape in shapes.items() if _OF_T5.search(name)),
    )


def _numbers_of_blocks(shapes: Shapes, kind: str) -> tuple[int, ...]:
    numbers: dict[int, int] = {}
    for name, shape in shapes.items():
        found = _BLOCK_OF_TRANSFORMER.match(name)
        if found and (found[1] or "") == kind:
            numbers[int(found[2])] = numbers.get(int(found[2]), 0) + prod(shape)
    return tuple(numbers[index] for index in sorted(numbers))


def _is_linear(shape: tuple[int, ...]) -> bool:
    """Tell linear layers and 1 x 1 convolutions by their weight."""
    return len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1))


def _of_folder(folder: Path) -> dict[Part, PartSize]:
    found: dict[Part, PartSize] = {}
    for name, part in _FOLDERS.items():
        if shapes := _folder_shapes(folder / name):
            found[part] = _sum(found.get(part), part_size(shapes, part))
    return found


def _config_of_file(path: Path, family: str) -> dict[str, Any] | None:
    """Return what matters here of the configuration of a single file; None where its family is unknown."""
    if family in SINGLE_FILE_CONFIGS or path.suffix.lower() != ".safetensors":
        return SINGLE_FILE_CONFIGS.get(family)
    shapes = read_header(BASE_MODEL, path).shapes
    blocks = [match for match in map(_BLOCK.search, shapes) if match]
    kinds = {kind: len({match[2] for match in blocks if match[1] == kind}) for kind in ("double", "joint")}
    width = max((shape[0] for name, shape in shapes.items() if name.endswith("attn.proj.weight")), default=0)
    if not width:
        return None
    shared = {"num_attention_heads": 1, "attention_head_dim": width}
    if kinds["double"]:
        singles = len({match[2] for match in blocks if match[1] == "single"})
        kind = {"_class_name": "FluxTransformer2DModel", "num_single_layers": singles}
        return shared | kind | {"num_layers": kinds["double"]}
    has_norm = any(name.endswith("attn.ln_q.weight") for name in shapes)
    kind = {"_class_name": "SD3Transformer2DModel", "qk_norm": has_norm}
    return shared | kind | {"num_layers": kinds["joint"]}


def _of_file(path: Path) -> dict[Part, PartSize]:
    if path.suffix.lower() != ".safetensors" or not path.is_file():
        return {}
    parts: dict[Part, dict[str, tuple[int, ...]]] = {}
    for name, shape in read_header(BASE_MODEL, path).shapes.items():
        part = _part_of(name)
        parts.setdefault(part, {})[name] = shape
    return {part: part_size(shapes, part) for part, shapes in parts.items()}


def _part_of(name: str) -> Part:
    for prefix, part in _PREFIXES:
        if name.startswith(prefix):
            return part
    return "denoiser"


def _part_shapes(path: Path) -> Shapes:
    """Return the shapes of a part that has a folder or file of its own."""
    if path.is_dir():
        return _folder_shapes(path) or _folder_shapes(path / "vae")
    if path.suffix.lower() != ".safetensors" or not path.is_file():
        return {}
    return read_header("", path).shapes


def _folder_shapes(folder: Path) -> Shapes:
    """Return the shapes of a part's folder: of the files that are loaded, where it holds several variants."""
    files = sorted(folder.glob("*.safetensors"))
    whole = [file for file in files if ".fp16." not in file.name]
    shapes: dict[str, tuple[int, ...]] = {}
    for file in whole or files:
        shapes |= read_header(BASE_MODEL, file).shapes
    return shapes


def _configs(place: Path, family: str) -> tuple[Activations | None, dict[str, Any]]:
    """Return what the denoiser keeps, and the configuration of the VAE; empty where there is none."""
    if not place.is_dir():
        config = _config_of_file(place, family)
        return (activations_of(config) if config else None), {}
    configs = [_json(place / name / "config.json") for name in _DENOISERS]
    config = next((config for config in configs if config), {})
    return activations_of(config), _json(place / "vae" / "config.json")


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _sum(one: PartSize | None, other: PartSize) -> PartSize:
    if one is None:
        return other
    return PartSize(
        one.numbers + other.numbers,
        one.linear + other.linear,
        one.adapted + other.adapted,
        one.adapted_sides + other.adapted_sides,
        one.blocks + other.blocks,
        one.single_blocks + other.single_blocks,
        one.t5 + other.t5,
    )
