"""Where the parts of a Stable Diffusion 1.5 model are and what they are like, and whether it is one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_widgets.catalog.weight_files import CLIP_TOKENIZER
from lora_widgets.config.misplaced import BASE_MODEL
from lora_widgets.errors import ModelError
from lora_widgets.families import native_names
from lora_widgets.families.part_configs import embedded_configs, read_configs
from lora_widgets.families.parts import FilePart, FolderPart, PartPlace
from lora_widgets.families.tokenizer_files import TokenizerPlace, tokenizer_beside, tokenizer_from_hub
from lora_widgets.families.weight_file import WeightFile, find_weight_file
from lora_widgets.families.weights import LAYOUT, Source, locate_model, locate_vae

_FAMILY, _CONFIGS = "SD1.5", "sd15"
_OTHER_FAMILIES = (("StableDiffusionXL", "SDXL"), ("StableDiffusion3", "SD3"), ("Flux", "Flux"))
_SD2_TEXT_WIDTH = 1024
_FILE_PARTS = {  # part: how it is called, where its names begin, how they are translated
    "unet": ("UNet", "model.diffusion_model.", native_names.ldm_unet),
    "vae": ("VAE", "first_stage_model.", native_names.vae),
    "text_encoder": ("text encoder", "cond_stage_model.transformer.", native_names.clip),
}


@dataclass(frozen=True)
class Layout:
    """Where the parts are, with their configurations; ``weights_file`` is the single file that holds them."""

    unet: PartPlace
    vae: PartPlace
    text_encoder: PartPlace
    tokenizer: TokenizerPlace
    scheduler_config: Mapping[str, Any]
    has_own_vae: bool
    weights_file: Path | None


def read_layout(config: Any) -> Layout:
    """Find the model of ``pretrained_model_name_or_path`` and ``vae_path``; check that it is a SD1.5.

    Raises:
        ModelError: it is missing, incomplete, or another family.
    """
    file = find_weight_file(BASE_MODEL, str(config.pretrained_model_name_or_path))
    layout = _in_folder(config) if file is None else _in_file(file, config)
    _check_channels(layout)
    _check_clip_skip(config.clip_layers_skipped, layout.text_encoder.config)
    return layout


def _in_folder(config: Any) -> Layout:
    model = locate_model(BASE_MODEL, str(config.pretrained_model_name_or_path))
    index, unet = model.read_json("model_index.json"), model.read_json("unet/config.json")
    if index is not None:
        _refuse_other_families(model, str(index.get("_class_name", "")))
    if index is None or unet is None:
        missing = "model_index.json" if index is None else "unet/config.json"
        raise ModelError(
            f"`{model.setting}` is {model.place!r}, which has no {missing}, so it is no model in diffusers "
            f"layout. Set it to the folder that holds {LAYOUT}."
        )
    _check_unet(model, unet)
    vae_config = model.read_json("vae/config.json")
    if vae_config is None and not config.vae_path:
        raise ModelError(
            f"`{model.setting}` is {model.place!r}, which has no vae/config.json. "
            f"Download the model's vae folder too, or set `vae_path` to an autoencoder."
        )
    vae_config = vae_config or embedded_configs(_CONFIGS)["vae"]
    return Layout(
        unet=FolderPart(model, "unet", unet),
        vae=_other_vae(config.vae_path, vae_config) or FolderPart(model, "vae", vae_config),
        text_encoder=FolderPart(model, "text_encoder", model.read_json("text_encoder/config.json") or {}),
        tokenizer=tokenizer_beside(model, config.tokenizer_path),
        scheduler_config=model.read_json("scheduler/scheduler_config.json") or {},
        has_own_vae=not config.vae_path,
        weights_file=None,
    )


def _in_file(file: WeightFile, config: Any) -> Layout:
    file.refuse_misplaced(_FAMILY)
    configs = read_configs(_CONFIGS, config.model_config_path)
    other_vae = _other_vae(config.vae_path, configs["vae"])
    parts = {
        part: FilePart(file, words, configs[part], rename)
        for part, (words, start, rename) in _FILE_PARTS.items()
        if any(name.startswith(start) for name in file.shapes)
    }
    _refuse_parts_missing(file, {*parts, *(("vae",) if other_vae else ())})
    _check_sizes(file, configs["unet"])
    return Layout(
        unet=parts["unet"],
        vae=other_vae or parts["vae"],
        text_encoder=parts["text_encoder"],
        tokenizer=tokenizer_from_hub(CLIP_TOKENIZER, config.tokenizer_path),
        scheduler_config=configs["scheduler"] | _own_prediction(file),
        has_own_vae=other_vae is None,
        weights_file=file.path,
    )


def _other_vae(value: str | None, model_config: Mapping[str, Any]) -> PartPlace | None:
    """Return the autoencoder of ``vae_path``; one in a single file is built like the model's own."""
    if not value:
        return None
    file = find_weight_file("vae_path", value)
    if file is not None:
        file.refuse_misplaced(_FAMILY)
        return FilePart(file, "VAE", model_config, native_names.vae)
    source = locate_vae(value)
    return FolderPart(source, "", source.read_json("config.json") or {})


def _refuse_parts_missing(file: WeightFile, found: set[str]) -> None:
    remedies = {"vae": "Set `vae_path` to an autoencoder made for SD1.5."}
    for part, (words, _, _) in _FILE_PARTS.items():
        if part not in found:
            remedy = remedies.get(part, "Use a complete SD1.5 model.")
            raise ModelError(f"`{BASE_MODEL}` is {str(file.path)!r}, which holds no {words}. {remedy}")


def _check_sizes(file: WeightFile, unet: Mapping[str, Any]) -> None:
    """Compare the first layer with the configuration: a model of another size is told before it is loaded."""
    found = file.shapes["model.diffusion_model.input_blocks.0.0.weight"][0]
    wanted = unet["block_out_channels"][0]
    if found != wanted:
        raise ModelError(
            f"`{BASE_MODEL}` is {str(file.path)!r}, whose UNet begins with {found} channels; the "
            f"configuration says {wanted}. Set `model_config_path` to the folder or JSON file with the "
            "configuration of this model."
        )


def _own_prediction(file: WeightFile) -> dict[str, Any]:
    """Return what the file itself says about how it was trained; most say nothing."""
    said = file.metadata.get("modelspec.prediction_type", "")
    is_v = said.startswith("v") or "v_pred" in file.shapes
    return {"prediction_type": "v_prediction"} if is_v else {}


def _refuse_other_families(model: Source, pipeline: str) -> None:
    for start, family in _OTHER_FAMILIES:
        if pipeline.startswith(start):
            raise _wrong_family(model, f"a {family} model")


def _check_unet(model: Source, unet: dict[str, Any]) -> None:
    if unet.get("addition_embed_type") == "text_time":
        raise _wrong_family(model, "a SDXL model")
    if unet.get("cross_attention_dim") == _SD2_TEXT_WIDTH:
        raise _wrong_family(model, "a Stable Diffusion 2 model")


def _check_channels(layout: Layout) -> None:
    channels = layout.vae.config.get("latent_channels", 4)
    wanted = layout.unet.config.get("in_channels", 4)
    if wanted == channels:
        return
    if not layout.has_own_vae:
        raise ModelError(
            f"`vae_path` is {layout.vae.place!r}, an autoencoder with {channels} latent channels, but the "
            f"base model works on {wanted}. Set `vae_path` to an autoencoder for SD1.5, or leave it empty."
        )
    raise ModelError(
        f"`{BASE_MODEL}` is {layout.unet.place!r}, whose UNet takes {wanted} channels where its autoencoder "
        f"gives {channels}: an inpainting or editing variant, which cannot be trained. Use the plain model."
    )


def _check_clip_skip(skip: int, text_encoder: Mapping[str, Any]) -> None:
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
