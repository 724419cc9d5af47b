"""How large a base model is, part by part, from the headers of its files; nothing is loaded, torch-free."""

import json
import re
from collections.abc import Iterable, Mapping
from math import isqrt, prod
from pathlib import Path
from typing import Any, Literal

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.catalog.weight_variants import weights_of_one_variant
from lora_widgets.config.activations import Activations, activations_of
from lora_widgets.config.facts import BaseModelFacts, LayerFacts, PartSize
from lora_widgets.config.misplaced import BASE_MODEL
from lora_widgets.config.weight_headers import read_header
from lora_widgets.data.adaptable_layers import adaptable_layers
from lora_widgets.demo.paths import DEMO, model_folder
from lora_widgets.errors import ModelError

Shapes = Mapping[str, tuple[int, ...]]
Place = Literal["denoiser", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"]
Found = dict[str, Shapes]
"""What the headers say, by the part's place in the model, or by the setting that names a file of its own."""

_DENOISERS = ("unet", "transformer")
_FOLDERS: dict[str, Place] = {
    "unet": "denoiser",
    "transformer": "denoiser",
    "text_encoder": "text_encoder",
    "text_encoder_2": "text_encoder_2",
    "text_encoder_3": "text_encoder_3",
    "vae": "vae",
}
_BLOCK = re.compile(r"(double|single|joint)_blocks\.(\d+)\.")
_BLOCK_OF_TRANSFORMER = re.compile(
    r"(?:model\.diffusion_model\.)?(single_)?(?:transformer_|double_|joint_)?blocks\.(\d+)\."
)
# How tensors of a single file begin; what begins otherwise is a denoiser that is alone in its file.
_PREFIXES: tuple[tuple[str, Place], ...] = (
    ("first_stage_model.", "vae"),
    ("vae.", "vae"),
    ("cond_stage_model.", "text_encoder"),
    ("conditioner.embedders.1.", "text_encoder_2"),
    ("conditioner.", "text_encoder"),
    ("text_encoders.clip_l.", "text_encoder"),
    ("text_encoders.clip_g.", "text_encoder_2"),
    ("text_encoders.", "text_encoder_3"),
)
PART_FILES: dict[str, Place] = {
    "vae_path": "vae",
    "clip_l_path": "text_encoder",
    "clip_g_path": "text_encoder_2",
    "t5xxl_path": "text_encoder_3",
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
        if "denoiser" not in found:
            return None
        for setting, value in separate.items():
            if value and (shapes := _part_shapes(Path(value).expanduser())):
                found[setting] = shapes
        config, vae = _configs(place, family)
    except (ModelError, OSError, ValueError, RuntimeError):  # the start names what is wrong with a file
        return None
    widths = tuple(int(width) for width in vae.get("block_out_channels", ()))
    texts = [shapes for key, shapes in found.items() if PART_FILES.get(key, key).startswith("text")]
    return BaseModelFacts(
        denoiser=part_size(found["denoiser"]),
        text_encoder=_sum(map(part_size, texts)),
        vae=part_size(found.get("vae_path") or found.get("vae", {})),
        activations=config,
        latent_factor=2 ** (len(widths) - 1) if widths else 8,
        vae_channels=(widths[0], widths[min(1, len(widths) - 1)]) if widths else (128, 256),
        layers=_layers(found, family),
    )


def largest_side(values: Mapping[str, object]) -> int | None:
    """Return the longest side of a picture, in pixels, that the base model of settings knows positions for.

    Only SD3 has a table of them. None where its file is not here, or has no header to read it from.
    """
    name, family = (str(values.get(setting) or "").strip() for setting in (BASE_MODEL, "model_type"))
    if family != "SD3" or not name:
        return None
    try:
        place = Path(name).expanduser()
        config = _json(place / "transformer" / "config.json") if place.is_dir() else {}
        patches = int(config.get("pos_embed_max_size") or 0) or _patches_of_file(place)
    except (ModelError, OSError, ValueError, TypeError, RuntimeError):
        return None
    # Sides are multiples of a patch.
    return patches * FAMILIES[family].samples.side_multiple or None


def _layers(found: Found, family: str) -> tuple[LayerFacts, ...]:
    """Return what an adapter can change; a text encoder in a file of its own takes the place of another."""
    components = {"unet": "denoiser", "1": "text_encoder", "2": "text_encoder_2"}
    own = {place: setting for setting, place in PART_FILES.items() if setting in found}
    layers: list[LayerFacts] = []
    for component, place in components.items():
        shapes = found.get(own.get(place, place), {})
        layers += adaptable_layers(shapes, component=component, family=family)
    return tuple(layers)


def part_size(shapes: Shapes) -> PartSize:
    """Count the numbers of a part with tensors of these shapes."""
    linear = [
        prod(shape)
        for name, shape in shapes.items()
        if name.endswith("weight") and len(shape) == 2 and "embed" not in name
    ]
    return PartSize(
        numbers=sum(map(prod, shapes.values())),
        linear=sum(linear),
        largest=max(linear, default=0),
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


def _of_folder(folder: Path) -> Found:
    shapes = [(place, _folder_shapes(folder / name)) for name, place in _FOLDERS.items()]
    return {place: of_part for place, of_part in shapes if of_part}


def _patches_of_file(path: Path) -> int:
    """Return the patches along a side of the table of positions (1, side * side, D); 0 without one."""
    if path.suffix.lower() != ".safetensors" or not path.is_file():
        return 0
    shapes = read_header(BASE_MODEL, path).shapes
    table = next((shape for name, shape in shapes.items() if name.endswith("pos_embed")), (1, 0))
    return isqrt(table[1])


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


def _of_file(path: Path) -> Found:
    if path.suffix.lower() != ".safetensors" or not path.is_file():
        return {}
    parts: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in read_header(BASE_MODEL, path).shapes.items():
        parts.setdefault(_place_of(name), {})[name] = shape
    return {**parts}


def _place_of(name: str) -> Place:
    for prefix, place in _PREFIXES:
        if name.startswith(prefix):
            return place
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
    shapes: dict[str, tuple[int, ...]] = {}
    for name in weights_of_one_variant(path.name for path in folder.glob("*.safetensors")):
        shapes |= read_header(BASE_MODEL, folder / name).shapes
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


def _sum(parts: Iterable[PartSize]) -> PartSize:
    found = tuple(parts)
    return PartSize(
        numbers=sum(part.numbers for part in found),
        linear=sum(part.linear for part in found),
        largest=max((part.largest for part in found), default=0),
        t5=sum(part.t5 for part in found),
    )
