"""Finding the layers that ``preset`` means: a name of ours, or a LyCORIS preset file."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from lora_widgets.catalog.block_classes import present_class
from lora_widgets.catalog.layer_presets import LAYER_PRESETS, LayerChoice, LayerOverride, LayerPreset
from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.errors import ConfigError

_ALGORITHMS = frozenset(row.algorithm for row in LORA_TYPES.values())
_KEYS = {
    "enable_conv": bool,
    "unet_target_module": list,
    "unet_target_name": list,
    "text_encoder_target_module": list,
    "text_encoder_target_name": list,
    "exclude_name": list,
    "use_fnmatch": bool,
    "module_algo_map": dict,
    "name_algo_map": dict,
}
_SIZES = ("dim", "alpha")
_SWITCHES = (
    "use_tucker",
    "use_scalar",
    "rs_lora",
    "dora_wd",
    "wd_on_output",
    "decompose_both",
    "full_matrix",
    "unbalanced_factorization",
    "rescaled",
    "train_on_input",
)
_NUMBERS = ("factor", "block_size", "constraint")


def layers_of(preset: str, *, lora_type: str) -> LayerPreset:
    """Return the layers that ``preset`` means, or the usual ones of the type for an empty text.

    Raises:
        ConfigError: it is no name and no readable preset file.
    """
    if not preset:
        return LAYER_PRESETS[LORA_TYPES[lora_type].preset]
    if preset in LAYER_PRESETS:
        return LAYER_PRESETS[preset]
    if not preset.lower().endswith(".toml"):
        raise ConfigError(
            f"`preset` is {preset!r}, but no set of layers is called so. Choose {', '.join(LAYER_PRESETS)}, "
            "or the path of a LyCORIS preset file (.toml)."
        )
    try:
        content = tomllib.loads(Path(preset).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The preset file {preset!r} of `preset` cannot be read ({error}). Correct the path or the file."
        ) from error
    return _read(preset, content)


def _read(path: str, content: Mapping[str, Any]) -> LayerPreset:
    for key, value in content.items():
        if key not in _KEYS:
            raise ConfigError(
                f"The preset file {path!r} has the key {key!r}, which is not known. Use {', '.join(_KEYS)}."
            )
        if not isinstance(value, _KEYS[key]):
            raise ConfigError(
                f"The preset file {path!r} has {key} = {value!r}, but it must be a {_words(_KEYS[key])}."
            )
    excluded, uses_fnmatch = tuple(content.get("exclude_name", ())), content.get("use_fnmatch", False)

    def choice(part: str) -> LayerChoice:
        return LayerChoice(
            frozenset(map(present_class, content.get(f"{part}_target_module", ()))),
            names=tuple(content.get(f"{part}_target_name", ())),
            kernels=content.get("enable_conv", True),
            excluded=excluded,
            fnmatch=uses_fnmatch,
        )

    overrides = [
        _override(path, pattern, values, of_block=key == "module_algo_map")
        for key in ("module_algo_map", "name_algo_map")
        for pattern, values in content.get(key, {}).items()
    ]
    return LayerPreset(path, "", choice("unet"), choice("text_encoder"), tuple(overrides))


def _override(path: str, pattern: str, values: Any, *, of_block: bool) -> LayerOverride:
    if not isinstance(values, Mapping):
        raise ConfigError(f"The preset file {path!r} has {pattern} = {values!r}, but it must be a table.")
    settings = {str(name): value for name, value in cast("Mapping[str, Any]", values).items()}
    algorithm: str | None = settings.pop("algo", None)
    if settings.get("dora_wd") and algorithm in ("locon", "lora"):
        algorithm = "dora"
    if algorithm is not None and algorithm not in _ALGORITHMS:
        raise ConfigError(
            f"The preset file {path!r} asks for algo = {algorithm!r} at {pattern}, which is not known. Use "
            f"{', '.join(sorted(_ALGORITHMS))}."
        )
    unknown = settings.keys() - {*_SIZES, *_SWITCHES, *_NUMBERS}
    if unknown:
        raise ConfigError(
            f"The preset file {path!r} sets {', '.join(sorted(unknown))} at {pattern}, which is not known. "
            f"Use {', '.join((*_SIZES, *_NUMBERS, *_SWITCHES))}."
        )
    return LayerOverride(present_class(pattern) if of_block else pattern, of_block, algorithm, settings)


def _words(kind: type) -> str:
    return {bool: "switch (true or false)", list: "list of texts", dict: "table"}[kind]
