"""The configurations of a model's parts that a single file does not hold.

Those of each family's first model come with this package, in diffusers form. An unusual model names its own:
a folder in diffusers layout, or a JSON file with one object per part.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_widgets.errors import ModelError

PARTS = (
    *("unet", "transformer", "vae"),
    *("text_encoder", "text_encoder_2", "text_encoder_3"),
    "scheduler",
)
Configs = dict[str, dict[str, Any]]
_HERE = Path(__file__).parent / "configs"
_FILES = {"scheduler": "scheduler_config.json"}


def embedded_configs(family: str) -> Configs:
    """Return the configurations of a family's first model by part; ``family`` is the name of the folder."""
    files = (_HERE / family).glob("*.json")
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def read_configs(family: str, model_config_path: str | None) -> Configs:
    """Return the configurations by part: those of ``model_config_path``, the family's for what it leaves out.

    Raises:
        ModelError: nothing usable is there.
    """
    found = embedded_configs(family)
    if model_config_path:
        found |= _own(model_config_path)
    return found


def _own(value: str) -> Configs:
    path = Path(value).expanduser()
    if path.is_dir():
        files = {part: path / part / _FILES.get(part, "config.json") for part in PARTS}
        found = {part: _read(file) for part, file in files.items() if file.is_file()}
    elif path.is_file():
        content = _read(path)
        found = {part: content[part] for part in PARTS if isinstance(content.get(part), Mapping)}
    else:
        raise _unusable(value, "but nothing is there")
    if not found:
        raise _unusable(value, "which holds no configuration of a part")
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unusable(str(path), f"which cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise _unusable(str(path), "which is no JSON object")
    return content


def _unusable(value: str, what: str) -> ModelError:
    return ModelError(
        f"`model_config_path` is {value!r}, {what}. Set it to a folder in diffusers layout "
        '(unet/config.json, vae/config.json ...), to a JSON file with objects such as "unet", "vae", '
        '"text_encoder" and "scheduler", or leave it empty.'
    )
