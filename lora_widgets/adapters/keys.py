"""Names of adapter tensors in files, and reading such files.

We write the names of kohya's trainer, which every program of the field reads:
``<prefix>_<module path with underscores>.lora_down.weight`` (also ``.lora_up.weight`` and ``.alpha``).
"""

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from lora_widgets.errors import StateError

_TENSOR_NAMES = {
    "lora_A.weight": "lora_down.weight",
    "lora_B.weight": "lora_up.weight",
    "lora.down.weight": "lora_down.weight",
    "lora.up.weight": "lora_up.weight",
    "lora_linear_layer.down.weight": "lora_down.weight",
    "lora_linear_layer.up.weight": "lora_up.weight",
}
_PEFT_PREFIXES = {"unet.": "lora_unet", "text_encoder.": "lora_te", "text_encoder_2.": "lora_te2"}
_SHORT_TEXT_NAME = re.compile(r"^(lora_te\d?)_encoder_")


def kohya_name(prefix: str, path: str) -> str:
    """Return the name of a module in files, for example ``lora_te`` and ``encoder.layers.0.mlp.fc1``.

    transformers 5 dropped the level ``text_model`` of the CLIP text model; files keep it.
    """
    if prefix.startswith("lora_te") and path.startswith("encoder.layers."):
        path = f"text_model.{path}"
    return f"{prefix}_{path.replace('.', '_')}"


def canonical_key(key: str) -> str:
    """Return our name of a tensor that another program may have named its own way.

    Known are kohya's names, the short text encoder names that trainers on transformers 5 write, and the names
    of diffusers and PEFT (``unet.mid_block.attentions.0.proj_in.lora_A.weight``). Others return unchanged.
    Which of several names for one module is ours differs by family: see ``Target.other_names``.
    """
    for start, prefix in _PEFT_PREFIXES.items():
        if key.startswith(start):
            path, tensor = _split_peft(key.removeprefix(start))
            return f"{kohya_name(prefix, path)}.{tensor}"
    return _SHORT_TEXT_NAME.sub(r"\1_text_model_encoder_", key, count=1)


def read_lora_file(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors, on the CPU and as stored, and the metadata of an adapter file.

    Raises:
        StateError: the file is missing or damaged, or holds something else than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise StateError(f"The LoRA file {path} is not there. Check the path.")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        return _read_pickle(path), {}
    except StateError:
        raise
    except Exception as error:  # torch and safetensors raise many kinds for a damaged file
        raise StateError(
            f"The LoRA file {path} cannot be read ({error}). Copy or download it again."
        ) from error


def _split_peft(rest: str) -> tuple[str, str]:
    for theirs, ours in _TENSOR_NAMES.items():
        if rest.endswith(f".{theirs}"):
            path = rest.removesuffix(f".{theirs}")
            return path.replace(".processor.", ".").replace("_lora", "").removesuffix(".to_out"), ours
    path, _, tensor = rest.rpartition(".")
    return path, tensor


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _read_pickle(path: Path) -> dict[str, Tensor]:
    import torch

    content: Any = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise StateError(f"The file {path} does not hold adapter tensors. Choose a LoRA file.")
    return content
