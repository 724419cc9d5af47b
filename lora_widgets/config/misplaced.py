"""What to say about a weight file that is none of the kind a setting asks for.

The rules say it while the form is filled in, the families before they load anything, in the same words.
"""

from dataclasses import dataclass

from lora_widgets.catalog.weight_files import QUANTISED, FileKind, Role

BASE_MODEL = "pretrained_model_name_or_path"
SCALED = "whose weights are quantised with scales of their own, which cannot be read here"
PLAIN = "Use the file in bf16, fp16 or plain fp8."


@dataclass(frozen=True)
class Misplaced:
    """What is wrong and what to do; ``model_type`` is the one the file would fit, or empty."""

    message: str
    remedy: str
    model_type: str = ""


@dataclass(frozen=True)
class _Place:
    """What a setting takes: files of ``role`` that are not among ``not_these``."""

    role: Role
    words: str
    not_these: tuple[str, ...] = ()


_PLACES = {
    "vae_path": _Place("vae", "a VAE"),
    "clip_l_path": _Place("clip", "the CLIP-L text encoder", ("CLIP-G",)),
    "clip_g_path": _Place("clip", "the CLIP-G text encoder", ("CLIP-L",)),
    "t5xxl_path": _Place("t5", "the T5-XXL text encoder"),
    "continue_from_lora": _Place("adapter", "a LoRA"),
}
WEIGHT_SETTINGS = (BASE_MODEL, *_PLACES)
"""The settings that can hold a weight file."""
_WITH_TEXT_ENCODERS = ("Flux", "SD3")
"""The families whose text encoders can be files of their own."""
_OWN_PLACE = {
    "LoRA": "To begin with it, set `continue_from_lora` to it",
    "VAE": "To use it, set `vae_path` to it",
    "VAE-16": "To use it, set `vae_path` to it",
    "CLIP-L": "To use it, set `clip_l_path` to it",
    "CLIP-G": "To use it, set `clip_g_path` to it",
    "T5": "To use it, set `t5xxl_path` to it",
    "denoiser": "It is one part of a model: give the whole folder that holds model_index.json",
}


def misplaced(setting: str, value: str, kind: FileKind, *, model_type: str) -> Misplaced | None:
    """Return what is wrong with a file of some kind in a setting; None if it fits."""
    if kind.name == QUANTISED:
        return Misplaced(f"`{setting}` is {value!r}, {SCALED}.", PLAIN)
    if setting == BASE_MODEL:
        return _as_base_model(value, kind, model_type)
    place = _PLACES[setting]
    found = f"`{setting}` is {value!r}, which is {kind.words}"
    if kind.role != place.role or kind.name in place.not_these:
        return Misplaced(f"{found}, but {place.words} belongs there.", "Choose another file.")
    if place.role == "adapter" or model_type in kind.families:
        return None
    return Misplaced(
        f"{found}, but `model_type` is {model_type}.", f"Choose {place.words} made for {model_type}."
    )


def _as_base_model(value: str, kind: FileKind, model_type: str) -> Misplaced | None:
    if model_type in kind.families and kind.role == "base model":
        return None
    found = f"`{BASE_MODEL}` is {value!r}, which is {kind.words}"
    if kind.role != "base model":
        return Misplaced(
            f"{found}, not a base model.", f"Choose a {model_type} model.{_hint(kind, model_type)}"
        )
    (family, *_) = kind.families or ("",)
    if not family:
        return Misplaced(
            f"{found}, which cannot be trained here; `model_type` is {model_type}.",
            f"Choose a plain {model_type} model.",
        )
    return Misplaced(
        f"{found}, but `model_type` is {model_type}.",
        f"Choose a {model_type} model, or set `model_type` to {family}.",
        family,
    )


def _hint(kind: FileKind, model_type: str) -> str:
    """Return where the file belongs, if this family has a place for it."""
    has_place = kind.role not in ("clip", "t5") or model_type in _WITH_TEXT_ENCODERS
    return f" {_OWN_PLACE[kind.name]}." if has_place and kind.name in _OWN_PLACE else ""
