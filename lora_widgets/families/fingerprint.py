"""What tells a part of a base model from any other: what is in it or, without loading, where it is from."""

from collections.abc import Mapping
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

import torch
from torch import nn

import lora_widgets
from lora_widgets.config.file_stamp import is_settled
from lora_widgets.errors import ModelError
from lora_widgets.families.parts import PartPlace

DIGEST_BYTES = 16
_FORMAT = 1
"""Changes whenever weights are read in another way."""
_LIBRARIES = ("torch", "diffusers", "transformers", "tokenizers", "safetensors")
_SAYS_NOTHING = ("architectures", "torch_dtype", "dtype", "transformers_version")
"""What a configuration says beside how its model computes; what begins with "_" is such, too."""


def fingerprint(module: nn.Module, config: Mapping[str, Any], facts: tuple[object, ...]) -> str:
    """Return a hash of the weights in their number formats, and of what decides outputs too.

    That is the configuration of the module, and ``facts`` about how it is used.
    """
    digest = blake2b(repr((_deciding(config), facts)).encode(), digest_size=DIGEST_BYTES)
    for name, tensor in module.state_dict().items():
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def origin(place: PartPlace, *, dtype: torch.dtype, facts: tuple[object, ...]) -> str | None:
    """Return a hash that is the same only where the fingerprint of a part, once loaded, would be the same.

    It is made of the files' names, sizes and times instead of their content, and of all that decides how they
    are read, the versions of the libraries among it. None where it says nothing: files are not here, or were
    written a moment ago, so that a change could still have the same time.
    """
    try:
        stamps, read_as = place.origin()
    except (OSError, ModelError):
        return None
    if not all(is_settled(stamp.mtime_ns) for stamp in stamps):
        return None
    versions = (_FORMAT, lora_widgets.__version__, *map(version, _LIBRARIES))
    decides = (versions, stamps, read_as, sorted(place.config.items()), str(dtype), facts)
    return blake2b(repr(decides).encode(), digest_size=DIGEST_BYTES).hexdigest()


def _deciding(config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(
        (name, value)
        for name, value in config.items()
        if not name.startswith("_") and name not in _SAYS_NOTHING
    )
