"""Which family an adapter file was made for: by what it says, else by names and sizes."""

from collections.abc import Mapping, Set

from lora_widgets.lora_files.key_parts import KeyParts
from lora_widgets.lora_files.layouts import LAYOUTS

_SAYINGS = ("ss_base_model_version", "modelspec.architecture")
_TEXT_WIDTHS = {768: "SD1.5", 2048: "SDXL"}
_OTHER_TEXT_WIDTHS = {1024, 1280}
"""Stable Diffusion 2 and the refiner of SDXL."""
_FLUX_WIDTH = 3072
_LDM_BLOCKS = ("input.blocks.", "output.blocks.", "middle.block.")


def family_of(keys: Set[KeyParts], metadata: Mapping[str, str], widths: Mapping[str, int]) -> str | None:
    """Return the family, or None if that cannot be told; ``widths`` are the inputs of modules of LoRA."""
    said = [metadata.get(name, "").lower() for name in _SAYINGS]
    for layout in LAYOUTS.values():
        if any(version.startswith(layout.versions) for version in said if version):
            return layout.family
    paths = {key.path.replace("_", ".") for key in keys if key.is_denoiser}
    if not paths:
        return _of_text_encoders({key.part for key in keys})
    if _any(paths, "double.blocks.", "single.blocks.", "single.transformer.blocks."):
        return "Flux"
    if _any(paths, "joint.blocks."):
        return "SD3"
    if _any(paths, "transformer.blocks."):
        found = {width for key in keys if key.is_denoiser and (width := widths.get(key.module))}
        return "Flux" if _FLUX_WIDTH in found else "SD3"
    return _of_unet(keys, paths, widths)


def _of_unet(keys: Set[KeyParts], paths: set[str], widths: Mapping[str, int]) -> str | None:
    if not _any(paths, "down.blocks.", "up.blocks.", "mid.block.", *_LDM_BLOCKS):
        return None
    reads_text = {
        widths[key.module]
        for key in keys
        if key.is_denoiser and key.path.replace(".", "_").endswith("attn2_to_k") and key.module in widths
    }
    if known := {_TEXT_WIDTHS[width] for width in reads_text if width in _TEXT_WIDTHS}:
        return known.pop()
    if reads_text & _OTHER_TEXT_WIDTHS:
        return None
    of_two = any(
        key.part in ("lora_te1", "lora_te2", "text_encoder_2") or "clip_g" in key.part for key in keys
    )
    is_deep = any(".transformer.blocks.1." in path for path in paths)  # SD1.5 has one in a row
    of_ldm = _any({k.path.replace("_", ".") for k in keys if k.dialect == "kohya"}, *_LDM_BLOCKS)
    return "SDXL" if of_two or is_deep or of_ldm else "SD1.5"


def _of_text_encoders(parts: set[str]) -> str | None:
    if parts & {"lora_te3", "text_encoder_3"}:
        return None
    if parts & {"lora_te2", "text_encoder_2"}:
        return "SDXL"
    return "SD1.5" if parts & {"lora_te", "text_encoder"} else None


def _any(paths: set[str], *starts: str) -> bool:
    return any(path.startswith(starts) for path in paths)
