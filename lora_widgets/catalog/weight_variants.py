"""Which of the weight files in the folder of a part are loaded: those of one variant, in one format."""

import re
from collections.abc import Callable, Iterable

_SHARD = r"-\d{5}-of-\d{5}"
_NAME = re.compile(
    rf"(?P<base>[^.]+?)(?P<shard>{_SHARD})?(\.(?P<variant>[^.]+?)({_SHARD})?)?\.(?P<format>safetensors|bin)"
)
"""``model.safetensors``, ``model-00001-of-00002.safetensors``, ``model.fp16-00001-of-00002.safetensors``."""
_USUAL = ("diffusion_pytorch_model", "model", "pytorch_model")
_Preference = Callable[[re.Match[str]], bool]
_PREFERENCES: tuple[_Preference, ...] = (
    lambda name: name["format"] == "safetensors",
    lambda name: name["base"] in _USUAL,
    lambda name: name["variant"] is None,  # full precision, and smoothed (EMA) where there is both
    lambda name: name["variant"] != "non_ema",
    lambda name: name["shard"] is None,
)
OTHER_VARIANTS = ("*.*.safetensors", "*.*.bin")
"""The patterns of files that have a variant in their name."""


def weights_of_one_variant(files: Iterable[str]) -> tuple[str, ...]:
    """Return those of a folder's files that make up one set of weights, in order; none where there are none.

    Repositories hold the same weights several times: in full and half precision, for several programs, and
    each of these in one piece or in several.
    """
    found = [name for file in sorted(files) if not file.startswith(".") and (name := _NAME.fullmatch(file))]
    for is_preferred in _PREFERENCES:
        found = [name for name in found if is_preferred(name)] or found
    return tuple(name.string for name in found if name["variant"] == found[0]["variant"])


def variant_of(file: str) -> str | None:
    """Return the variant that the name of a weight file tells, such as "fp16"."""
    name = _NAME.fullmatch(file)
    return name["variant"] if name else None
