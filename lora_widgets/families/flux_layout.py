"""Where the parts of a Flux model are and what they are like, and whether it is one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_widgets.config.misplaced import BASE_MODEL
from lora_widgets.errors import ModelError
from lora_widgets.families import native_names
from lora_widgets.families.flux_transformer import PATCH
from lora_widgets.families.own_files import (
    OwnFile,
    part_inside,
    part_of_folder,
    part_of_setting,
)
from lora_widgets.families.part_classes import AUTOENCODER, CLIP, FLUX_TRANSFORMER, T5
from lora_widgets.families.part_configs import read_configs
from lora_widgets.families.parts import FilePart, PartLayout, PartPlace, check_parts, names_of_parts
from lora_widgets.families.pipelines import refuse_other_families
from lora_widgets.families.tokenizer_files import (
    TokenizerPlace,
    t5_tokenizer,
    tokenizers_beside,
    tokenizers_from_hub,
)
from lora_widgets.families.weight_file import WeightFile, find_weight_file
from lora_widgets.families.weights import locate_model

_WHOLE = (
    "Flux model in diffusers layout. Set it to the folder that holds model_index.json and the folders "
    "transformer, vae, text_encoder, text_encoder_2, tokenizer and tokenizer_2"
)
_TRANSFORMER = PartLayout("transformer", FLUX_TRANSFORMER, "", native_names.flux_transformer)
_OWN_FILES = {
    "vae": OwnFile("vae_path", PartLayout("VAE", AUTOENCODER, "vae.", native_names.vae)),
    "text_encoder": OwnFile(
        "clip_l_path",
        PartLayout("text encoder CLIP-L", CLIP, "text_encoders.clip_l.transformer.", native_names.clip_l),
    ),
    "text_encoder_2": OwnFile(
        "t5xxl_path",
        PartLayout("text encoder T5-XXL", T5, "text_encoders.t5xxl.transformer.", native_names.t5),
    ),
}


@dataclass(frozen=True)
class Layout:
    """Where the parts are, with their configurations; ``weights_file`` is the single file, if it is one.

    ``tokenizers`` are those of CLIP-L and T5.
    """

    transformer: PartPlace
    vae: PartPlace
    clip_l: PartPlace
    t5: PartPlace
    tokenizers: tuple[TokenizerPlace, TokenizerPlace]
    has_own_vae: bool
    weights_file: Path | None

    @property
    def parts(self) -> tuple[PartPlace, ...]:
        """All of them, in the order of use."""
        return (self.clip_l, self.t5, self.vae, self.transformer)

    @property
    def is_dev(self) -> bool:
        """Whether the transformer is told guidance: dev is, schnell is not."""
        return bool(self.transformer.config.get("guidance_embeds"))

    def file_names(self) -> dict[str, str]:
        """Return the metadata that names the model, and its autoencoder if it is another one."""
        return names_of_parts(self.transformer, other_vae=None if self.has_own_vae else self.vae)


def read_layout(config: Any) -> Layout:
    """Find the model of ``pretrained_model_name_or_path`` and the files beside it; check its family.

    Raises:
        ModelError: it is missing, incomplete, or another family.
    """
    file = find_weight_file(BASE_MODEL, str(config.pretrained_model_name_or_path))
    layout = _in_folder(config) if file is None else _in_file(file, config)
    _check_channels(layout)
    check_parts(layout.parts)
    return layout


def _in_folder(config: Any) -> Layout:
    model = locate_model(BASE_MODEL, str(config.pretrained_model_name_or_path))
    refuse_other_families(model, wanted=config.model_type)
    transformer = part_of_folder(model, "transformer", FLUX_TRANSFORMER, whole=_WHOLE)
    configs = read_configs("flux", None)
    parts = {
        part: part_of_setting(own, config, model.read_json(f"{part}/config.json") or configs[part])
        or part_of_folder(model, part, own.layout.kind, whole=_WHOLE, setting=own.setting)
        for part, own in _OWN_FILES.items()
    }
    (clip,) = tokenizers_beside(model, config.tokenizer_path, count=1)
    return Layout(
        transformer=transformer,
        vae=parts["vae"],
        clip_l=parts["text_encoder"],
        t5=parts["text_encoder_2"],
        tokenizers=(clip, t5_tokenizer(model, "tokenizer_2", tokenizer_path=config.tokenizer_path)),
        has_own_vae=not config.vae_path,
        weights_file=None,
    )


def _in_file(file: WeightFile, config: Any) -> Layout:
    file.refuse_misplaced(config.model_type)
    configs = read_configs("flux", config.model_config_path)
    transformer = configs["transformer"] | {"guidance_embeds": file.kind.name == "Flux dev"}
    _check_sizes(file, transformer)
    parts = {
        part: part_of_setting(own, config, configs[part]) or _inside(file, own, configs[part])
        for part, own in _OWN_FILES.items()
    }
    (clip,) = tokenizers_from_hub(config.tokenizer_path, count=1)
    return Layout(
        transformer=FilePart(file, _TRANSFORMER, transformer),
        vae=parts["vae"],
        clip_l=parts["text_encoder"],
        t5=parts["text_encoder_2"],
        tokenizers=(clip, t5_tokenizer(None, "tokenizer_2", tokenizer_path=config.tokenizer_path)),
        has_own_vae=not config.vae_path,
        weights_file=file.path,
    )


def _inside(file: WeightFile, own: OwnFile, config: Mapping[str, Any]) -> FilePart:
    """Return a part that is in the file of the base model too; most hold the transformer alone."""
    if found := part_inside(file, own, config):
        return found
    raise ModelError(
        f"`{BASE_MODEL}` is {str(file.path)!r}, which holds no {own.layout.words}, like most single files of "
        f"Flux. Set `{own.setting}` to a file with it."
    )


def _check_sizes(file: WeightFile, transformer: Mapping[str, Any]) -> None:
    """Compare the first layer with the configuration: another size is told before anything is loaded."""
    found = next(shape[0] for name, shape in file.shapes.items() if name.endswith("img_in.weight"))
    wanted = transformer["num_attention_heads"] * transformer["attention_head_dim"]
    if found != wanted:
        raise ModelError(
            f"`{BASE_MODEL}` is {str(file.path)!r}, whose transformer is {found} wide; the configuration "
            f"says {wanted}. Set `model_config_path` to the folder or JSON file with the configuration of "
            "this model."
        )


def _check_channels(layout: Layout) -> None:
    channels = layout.vae.config.get("latent_channels", 4)
    wanted = layout.transformer.config.get("in_channels", 64) // PATCH**2
    if channels == wanted:
        return
    if layout.has_own_vae:
        raise ModelError(
            f"`{BASE_MODEL}` is {layout.transformer.place!r}, whose transformer takes {wanted} channels "
            f"where its autoencoder gives {channels}: a variant for filling or editing, which cannot be "
            "trained here. Use the plain Flux.1 dev or schnell."
        )
    raise ModelError(
        f"`vae_path` is {layout.vae.place!r}, an autoencoder with {channels} latent channels, but Flux works "
        f"on {wanted}. Set `vae_path` to an autoencoder made for Flux, or leave it empty."
    )
