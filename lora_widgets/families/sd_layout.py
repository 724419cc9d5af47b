"""Where the parts of a Stable Diffusion model are, what they are like, and which family it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_widgets.config.misplaced import BASE_MODEL
from lora_widgets.errors import ModelError
from lora_widgets.families import native_names
from lora_widgets.families.part_classes import AUTOENCODER, CLIP, CLIP_WITH_PROJECTION, UNET
from lora_widgets.families.part_configs import embedded_configs, read_configs
from lora_widgets.families.parts import (
    FilePart,
    FolderPart,
    PartLayout,
    PartPlace,
    check_parts,
    names_of_parts,
)
from lora_widgets.families.pipelines import refuse_other_families
from lora_widgets.families.tokenizer_files import TokenizerPlace, tokenizers_beside, tokenizers_from_hub
from lora_widgets.families.weight_file import WeightFile, find_weight_file
from lora_widgets.families.weights import LAYOUT, Source, locate_model, locate_vae


@dataclass(frozen=True)
class _Model:
    """What the models of a family have: the folder of configurations, text encoders, parts in files."""

    configs: str
    text_encoders: tuple[str, ...]
    layouts: Mapping[str, PartLayout]


_UNET = PartLayout("UNet", UNET, "model.diffusion_model.", native_names.ldm_unet)
_VAE = PartLayout("VAE", AUTOENCODER, "first_stage_model.", native_names.vae)
_MODELS = {
    "SD1.5": _Model(
        "sd15",
        ("text_encoder",),
        {
            "unet": _UNET,
            "vae": _VAE,
            "text_encoder": PartLayout(
                "text encoder", CLIP, "cond_stage_model.transformer.", native_names.clip_l
            ),
        },
    ),
    "SDXL": _Model(
        "sdxl",
        ("text_encoder", "text_encoder_2"),
        {
            "unet": _UNET,
            "vae": _VAE,
            "text_encoder": PartLayout(
                "text encoder CLIP-L", CLIP, "conditioner.embedders.0.transformer.", native_names.clip_l
            ),
            "text_encoder_2": PartLayout(
                "text encoder CLIP-G",
                CLIP_WITH_PROJECTION,
                "conditioner.embedders.1.model.",
                native_names.clip_g,
            ),
        },
    ),
}


@dataclass(frozen=True)
class Layout:
    """Where the parts are, with their configurations; ``weights_file`` is the single file that holds them.

    There is one tokenizer for each of the text encoders, in the same order.
    """

    unet: PartPlace
    vae: PartPlace
    text_encoders: tuple[PartPlace, ...]
    tokenizers: tuple[TokenizerPlace, ...]
    scheduler_config: Mapping[str, Any]
    has_own_vae: bool
    weights_file: Path | None

    @property
    def parts(self) -> tuple[PartPlace, ...]:
        """All of them, in the order of use."""
        return (*self.text_encoders, self.vae, self.unet)

    def file_names(self) -> dict[str, str]:
        """Return the metadata that names the model, and its autoencoder if it is another one."""
        return names_of_parts(self.unet, other_vae=None if self.has_own_vae else self.vae)


def read_layout(config: Any) -> Layout:
    """Find the model of ``pretrained_model_name_or_path`` and ``vae_path``; check its family.

    Raises:
        ModelError: it is missing, incomplete, or another family.
    """
    file = find_weight_file(BASE_MODEL, str(config.pretrained_model_name_or_path))
    layout = _in_folder(config) if file is None else _in_file(file, config)
    _check_channels(layout, family=config.model_type)
    _check_plain_latents(layout.vae)
    if config.model_type == "SD1.5":
        _check_clip_skip(config.clip_layers_skipped, layout.text_encoders[0].config)
    check_parts(layout.parts)
    return layout


def _in_folder(config: Any) -> Layout:
    family = _MODELS[config.model_type]
    model = locate_model(BASE_MODEL, str(config.pretrained_model_name_or_path))
    refuse_other_families(model, wanted=config.model_type)
    index, unet = model.read_json("model_index.json"), model.read_json("unet/config.json")
    if index is None or unet is None:
        missing = "model_index.json" if index is None else "unet/config.json"
        raise ModelError(
            f"`{model.setting}` is {model.place!r}, which has no {missing}, so it is no model in diffusers "
            f"layout. Set it to the folder that holds {LAYOUT}."
        )
    vae_config = model.read_json("vae/config.json")
    if vae_config is None and not config.vae_path:
        raise ModelError(
            f"`{model.setting}` is {model.place!r}, which has no vae/config.json. "
            f"Download the model's vae folder too, or set `vae_path` to an autoencoder."
        )
    vae_config = vae_config or embedded_configs(family.configs)["vae"]
    return Layout(
        unet=FolderPart(model, "unet", UNET, unet),
        vae=_other_vae(config, vae_config) or FolderPart(model, "vae", AUTOENCODER, vae_config),
        text_encoders=tuple(
            FolderPart(model, part, family.layouts[part].kind, _text_config(model, part))
            for part in family.text_encoders
        ),
        tokenizers=tokenizers_beside(model, config.tokenizer_path, count=len(family.text_encoders)),
        scheduler_config=model.read_json("scheduler/scheduler_config.json") or {},
        has_own_vae=not config.vae_path,
        weights_file=None,
    )


def _text_config(model: Source, part: str) -> dict[str, Any]:
    config = model.read_json(f"{part}/config.json")
    if config is None:
        raise ModelError(
            f"`{model.setting}` is {model.place!r}, which has no {part}/config.json. Download the model's "
            f"{part} folder too."
        )
    return config


def _in_file(file: WeightFile, config: Any) -> Layout:
    file.refuse_misplaced(config.model_type)
    family = _MODELS[config.model_type]
    configs = read_configs(family.configs, config.model_config_path)
    other_vae = _other_vae(config, configs["vae"])
    parts = {
        part: FilePart(file, layout, configs[part])
        for part, layout in family.layouts.items()
        if any(name.startswith(layout.start) for name in file.shapes)
    }
    _refuse_parts_missing(file, {*parts, *(("vae",) if other_vae else ())}, family=config.model_type)
    _check_sizes(file, configs["unet"])
    return Layout(
        unet=parts["unet"],
        vae=other_vae or parts["vae"],
        text_encoders=tuple(parts[part] for part in family.text_encoders),
        tokenizers=tokenizers_from_hub(config.tokenizer_path, count=len(family.text_encoders)),
        scheduler_config=configs["scheduler"] | _own_prediction(file),
        has_own_vae=other_vae is None,
        weights_file=file.path,
    )


def _other_vae(config: Any, model_config: Mapping[str, Any]) -> PartPlace | None:
    """Return the autoencoder of ``vae_path``; one in a single file is built like the model's own."""
    if not config.vae_path:
        return None
    file = find_weight_file("vae_path", config.vae_path)
    if file is not None:
        file.refuse_misplaced(config.model_type)
        return FilePart(file, _VAE, model_config)
    source = locate_vae(config.vae_path)
    return FolderPart(source, "", AUTOENCODER, source.read_json("config.json") or {})


def _refuse_parts_missing(file: WeightFile, found: set[str], *, family: str) -> None:
    missing = {part: layout.words for part, layout in _MODELS[family].layouts.items() if part not in found}
    if not missing:
        return
    what = "the UNet alone" if "unet" in missing else f"no {' and no '.join(missing.values())}"
    remedy = f"Use a complete {family} model."
    if missing.keys() == {"vae"}:
        remedy = f"Set `vae_path` to an autoencoder made for {family}."
    raise ModelError(f"`{BASE_MODEL}` is {str(file.path)!r}, which holds {what}. {remedy}")


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
    ends_in_noise = {"rescale_betas_zero_snr": True} if "ztsnr" in file.shapes else {}
    return ({"prediction_type": "v_prediction"} if is_v else {}) | ends_in_noise


def _check_channels(layout: Layout, *, family: str) -> None:
    channels = layout.vae.config.get("latent_channels", 4)
    wanted = layout.unet.config.get("in_channels", 4)
    if wanted == channels:
        return
    if not layout.has_own_vae:
        raise ModelError(
            f"`vae_path` is {layout.vae.place!r}, an autoencoder with {channels} latent channels, but the "
            f"base model works on {wanted}. Set `vae_path` to an autoencoder made for {family}, or leave it "
            "empty."
        )
    raise ModelError(
        f"`{BASE_MODEL}` is {layout.unet.place!r}, whose UNet takes {wanted} channels where its autoencoder "
        f"gives {channels}: an inpainting or editing variant, which cannot be trained here. Use the plain "
        "model."
    )


def _check_plain_latents(vae: PartPlace) -> None:
    """Refuse models whose latents are normalised by channel: their noise follows another theory, too."""
    if vae.config.get("latents_mean") is None and vae.config.get("latents_std") is None:
        return
    raise ModelError(
        f"The autoencoder in {vae.place!r} has latents that are normalised by channel (latents_mean in its "
        "config.json), as in Playground 2.5. Such models cannot be trained here. Use a plain one."
    )


def _check_clip_skip(skip: int, text_encoder: Mapping[str, Any]) -> None:
    layers = text_encoder.get("num_hidden_layers", 12)
    if skip > layers:
        raise ModelError(
            f"`clip_skip` is {skip}, but the text encoder has {layers} layers. "
            f"Set `clip_skip` to a number from 1 to {layers}."
        )
