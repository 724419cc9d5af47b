"""What the small configuration files of a Stable Diffusion model say, and which family it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.errors import ModelError
from lora_widgets.families.weights import LAYOUT, Source, locate_model, locate_vae

_PIPELINES = (("StableDiffusionXL", "SDXL"), ("StableDiffusion3", "SD3"), ("Flux", "Flux"))
_SD2_TEXT_WIDTH, _REFINER_TEXT_WIDTH = 1024, 1280


@dataclass(frozen=True)
class Layout:
    """Where the parts are and their configuration; ``vae`` may be another folder than ``model``."""

    model: Source
    vae: Source
    vae_subfolder: str
    vae_config: dict[str, Any]
    scheduler_config: dict[str, Any]

    def file_names(self) -> dict[str, str]:
        """Return the metadata that names the model, and its autoencoder if it is another one."""
        names = {"ss_sd_model_name": Path(self.model.place).name}
        if self.vae is not self.model:
            names["ss_vae_name"] = Path(self.vae.place).name
        return names


def read_layout(config: Any) -> Layout:
    """Find the model of ``pretrained_model_name_or_path`` and ``vae_path``; check its family.

    Raises:
        ModelError: it is missing, incomplete, or another family.
    """
    model = locate_model("pretrained_model_name_or_path", str(config.pretrained_model_name_or_path))
    index, unet = model.read_json("model_index.json"), model.read_json("unet/config.json")
    if index is not None:
        _refuse_other_families(model, _family_of(index, unet or {}), wanted=config.model_type)
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
    _check_channels(vae, vae_config, unet, family=config.model_type)
    _check_plain_latents(vae, vae_config)
    if config.model_type == "SD1.5":
        _check_clip_skip(config.clip_layers_skipped, model.read_json("text_encoder/config.json") or {})
    scheduler = model.read_json("scheduler/scheduler_config.json") or {}
    return Layout(model, vae, subfolder, vae_config, scheduler)


def _family_of(index: dict[str, Any], unet: dict[str, Any]) -> str:
    pipeline = str(index.get("_class_name", ""))
    family = next((family for start, family in _PIPELINES if pipeline.startswith(start)), None)
    width = unet.get("cross_attention_dim")
    if unet.get("addition_embed_type") == "text_time":
        return "SDXL refiner" if width == _REFINER_TEXT_WIDTH else "SDXL"
    return family or ("Stable Diffusion 2" if width == _SD2_TEXT_WIDTH else "SD1.5")


def _refuse_other_families(model: Source, family: str, *, wanted: str) -> None:
    if family == wanted:
        return
    is_ours = family in FAMILIES and FAMILIES[family].active
    remedy = f"Set `model_type` to {family}, or `{model.setting}`" if is_ours else f"Set `{model.setting}`"
    raise ModelError(
        f"`{model.setting}` is {model.place!r}, which is a {family} model, but `model_type` is {wanted}. "
        f"{remedy} to a {wanted} model."
    )


def _check_channels(vae: Source, vae_config: dict[str, Any], unet: dict[str, Any], *, family: str) -> None:
    channels, wanted = vae_config.get("latent_channels", 4), unet.get("in_channels", 4)
    if wanted == channels:
        return
    if vae.setting == "vae_path":
        raise ModelError(
            f"`vae_path` is {vae.place!r}, an autoencoder with {channels} latent channels, but the base "
            f"model works on {wanted}. Set `vae_path` to an autoencoder made for {family}, or leave it empty."
        )
    raise ModelError(
        f"`{vae.setting}` is {vae.place!r}, whose UNet takes {wanted} channels where its autoencoder gives "
        f"{channels}: an inpainting or editing variant, which cannot be trained here. Use the plain model."
    )


def _check_plain_latents(vae: Source, vae_config: dict[str, Any]) -> None:
    """Refuse models whose latents are normalised by channel: their noise follows another theory, too."""
    if vae_config.get("latents_mean") is None and vae_config.get("latents_std") is None:
        return
    raise ModelError(
        f"`{vae.setting}` is {vae.place!r}, whose latents are normalised by channel (latents_mean in "
        "vae/config.json), as in Playground 2.5. Such models cannot be trained here. Use a plain one."
    )


def _check_clip_skip(skip: int, text_encoder: dict[str, Any]) -> None:
    layers = text_encoder.get("num_hidden_layers", 12)
    if skip > layers:
        raise ModelError(
            f"`clip_skip` is {skip}, but the text encoder has {layers} layers. "
            f"Set `clip_skip` to a number from 1 to {layers}."
        )
