"""Which family the model in a diffusers folder is of, and refusing the others."""

from collections.abc import Mapping
from typing import Any

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.errors import ModelError
from lora_widgets.families.weights import Source

_PIPELINES = (
    ("StableDiffusionXL", "SDXL"),
    ("StableDiffusion3", "SD3"),
    ("Flux2", "Flux 2"),
    ("Flux", "Flux"),
)
_SD2_TEXT_WIDTH, _REFINER_TEXT_WIDTH = 1024, 1280


def refuse_other_families(model: Source, *, wanted: str) -> None:
    """Make sure that a model is of the family ``wanted``; one without model_index.json is let pass.

    Raises:
        ModelError: it is of another family, or its configuration is damaged.
    """
    index = model.read_json("model_index.json")
    if index is None:
        return
    pipeline = str(index.get("_class_name", ""))
    family = _family_of(pipeline, model.read_json("unet/config.json"))
    if family == wanted:
        return
    found = (
        f"which is a {family} model" if family else f"whose model_index.json names {pipeline or 'nothing'}"
    )
    remedy = f"Set `model_type` to {family}, or" if family in FAMILIES else "Set"
    raise ModelError(
        f"`{model.setting}` is {model.place!r}, {found}, but `model_type` is {wanted}. {remedy} "
        f"`{model.setting}` to a {wanted} model."
    )


def _family_of(pipeline: str, unet: Mapping[str, Any] | None) -> str:
    """Return the family; "" where neither the pipeline's name nor the UNet tells."""
    if pipeline.startswith("Kolors"):  # a UNet like SDXL's, which reads another text encoder
        return "Kolors"
    if unet is not None and unet.get("addition_embed_type") == "text_time":
        return "SDXL refiner" if unet.get("cross_attention_dim") == _REFINER_TEXT_WIDTH else "SDXL"
    for start, family in _PIPELINES:
        if pipeline.startswith(start):
            return family
    if unet is None:
        return "SD1.5" if pipeline.startswith("StableDiffusion") else ""
    return "Stable Diffusion 2" if unet.get("cross_attention_dim") == _SD2_TEXT_WIDTH else "SD1.5"
