"""What the small configuration files of a Stable Diffusion 1.5 model say, and whether it is one."""

from dataclasses import dataclass
from typing import Any

from lora_widgets.errors import ModelError
from lora_widgets.families.weights import LAYOUT, Source, locate_model, locate_vae

_OTHER_FAMILIES = (("StableDiffusionXL", "SDXL"), ("StableDiffusion3", "SD3"), ("Flux", "Flux"))
_SD2_TEXT_WIDTH = 1024


@dataclass(frozen=True)
class Layout:
    """Where the parts are and their configuration; ``vae`` may be another folder than ``model``."""

    model: Source
    vae: Source
    vae_subfolder: str
    vae_config: dict[str, Any]
    scheduler_config: dict[str, Any]


def read_layout(config: Any) -> Layout:
    """Find the model of ``pretrained_model_name_or_path`` and ``vae_path``; check that it is a SD1.5.

    Raises:
        ModelError: it is missing, incomplete, or another family.
    """
    model = locate_model("pretrained_model_name_or_path", str(config.pretrained_model_name_or_path))
    index, unet = model.read_json("model_index.json"), model.read_json("unet/config.json")
    if index is not None:
        _refuse_other_families(model, str(index.get("_class_name", "")))
    if index is None or unet is None:
        missing = "model_index.json" if index is None else "unet/config.json"
        raise ModelError(
            f"`{model.setting}` is {model.place!r}, which has no {missing}, so it is no model in diffusers "
            f"layout. Set it to the folder that holds {LAYOUT}."
        )
    vae, subfolder = (locate_vae(config.vae_path), "") if config.vae_path else (model, "vae")
    vae_config = vae.read_json(f"{subfolder}/config.json" if subfolder else "config.json")
    if vae_config is None:
        raise ModelError(
            f"`{model.setting}` is {model.place!r}, which has no vae/config.json. "
            f"Download the model's vae folder too, or set `vae_path` to a folder with an autoencoder."
        )
    _check_unet(model, unet)
    _check_channels(vae, vae_config, unet)
    _check_clip_skip(config.clip_layers_skipped, model.read_json("text_encoder/config.json") or {})
    scheduler = model.read_json("scheduler/scheduler_config.json") or {}
    return Layout(model, vae, subfolder, vae_config, scheduler)


def _refuse_other_families(model: Source, pipeline: str) -> None:
    for start, family in _OTHER_FAMILIES:
        if pipeline.startswith(start):
            raise _wrong_family(model, f"a {family} model")


def _check_unet(model: Source, unet: dict[str, Any]) -> None:
    if unet.get("addition_embed_type") == "text_time":
        raise _wrong_family(model, "a SDXL model")
    if unet.get("cross_attention_dim") == _SD2_TEXT_WIDTH:
        raise _wrong_family(model, "a Stable Diffusion 2 model")


def _check_channels(vae: Source, vae_config: dict[str, Any], unet: dict[str, Any]) -> None:
    channels, wanted = vae_config.get("latent_channels", 4), unet.get("in_channels", 4)
    if wanted == channels:
        return
    if vae.setting == "vae_path":
        raise ModelError(
            f"`vae_path` is {vae.place!r}, an autoencoder with {channels} latent channels, but the base "
            f"model works on {wanted}. Set `vae_path` to an autoencoder made for SD1.5, or leave it empty."
        )
    raise ModelError(
        f"`{vae.setting}` is {vae.place!r}, whose UNet takes {wanted} channels where its autoencoder gives "
        f"{channels}: an inpainting or editing variant, which cannot be trained here. Use the plain model."
    )


def _check_clip_skip(skip: int, text_encoder: dict[str, Any]) -> None:
    layers = text_encoder.get("num_hidden_layers", 12)
    if skip > layers:
        raise ModelError(
            f"`clip_skip` is {skip}, but the text encoder has {layers} layers. "
            f"Set `clip_skip` to a number from 1 to {layers}."
        )


def _wrong_family(model: Source, what: str) -> ModelError:
    return ModelError(
        f"`{model.setting}` is {model.place!r}, which is {what}, but `model_type` is SD1.5. "
        f"Set `{model.setting}` to a Stable Diffusion 1.5 model."
    )
