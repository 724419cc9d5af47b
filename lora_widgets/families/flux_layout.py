"""Where the parts of a Flux model are and what they are like, and whether it is one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_widgets.errors import ModelError
from lora_widgets.families.parts import FolderPart, PartPlace
from lora_widgets.families.weights import Source, locate_model, locate_vae

LAYOUT = (
    "model_index.json and the folders transformer, vae, text_encoder, text_encoder_2, tokenizer and "
    "tokenizer_2"
)
_PATCH_AREA = 4


@dataclass(frozen=True)
class Layout:
    """Where the parts are, with their configurations; ``tokenizers`` are those of CLIP-L and T5."""

    transformer: PartPlace
    vae: PartPlace
    clip_l: PartPlace
    t5: PartPlace
    tokenizers: tuple[tuple[Source, str], tuple[Source, str]]
    has_own_vae: bool

    @property
    def is_dev(self) -> bool:
        """Whether the transformer is told guidance: dev is, schnell is not."""
        return bool(self.transformer.config.get("guidance_embeds"))

    def file_names(self) -> dict[str, str]:
        """Return the metadata that names the model, and its autoencoder if it is another one."""
        names = {"ss_sd_model_name": Path(self.transformer.place).name}
        if not self.has_own_vae:
            names["ss_vae_name"] = Path(self.vae.place).name
        return names


def read_layout(config: Any) -> Layout:
    """Find the model of ``pretrained_model_name_or_path`` and ``vae_path``; check its family.

    Raises:
        ModelError: it is missing, incomplete, or another family.
    """
    model = locate_model("pretrained_model_name_or_path", str(config.pretrained_model_name_or_path))
    index = model.read_json("model_index.json")
    if index is not None:
        _refuse_other_families(model, str(index.get("_class_name", "")))
    layout = Layout(
        transformer=_part(model, "transformer"),
        vae=_other_vae(config) or _part(model, "vae"),
        clip_l=_part(model, "text_encoder"),
        t5=_part(model, "text_encoder_2"),
        tokenizers=((model, "tokenizer"), (model, "tokenizer_2")),
        has_own_vae=not config.vae_path,
    )
    _check_channels(layout)
    return layout


def _part(model: Source, name: str) -> FolderPart:
    config = model.read_json(f"{name}/config.json")
    if config is None:
        raise ModelError(
            f"`{model.setting}` is {model.place!r}, which has no {name}/config.json, so it is no complete "
            f"Flux model in diffusers layout. Set it to the folder that holds {LAYOUT}."
        )
    return FolderPart(model, name, config)


def _other_vae(config: Any) -> PartPlace | None:
    if not config.vae_path:
        return None
    source = locate_vae(config.vae_path)
    return FolderPart(source, "", source.read_json("config.json") or {})


def _refuse_other_families(model: Source, pipeline: str) -> None:
    if pipeline.startswith("Flux") and not pipeline.startswith("Flux2"):
        return
    raise ModelError(
        f"`{model.setting}` is {model.place!r}, whose model_index.json names {pipeline or 'no pipeline'}, "
        "but `model_type` is Flux. Set `model_type` to the model's own, or choose a Flux.1 model."
    )


def _check_channels(layout: Layout) -> None:
    channels = layout.vae.config.get("latent_channels", 4)
    wanted = layout.transformer.config.get("in_channels", 64) // _PATCH_AREA
    if channels == wanted:
        return
    if layout.has_own_vae:
        raise ModelError(
            f"`pretrained_model_name_or_path` is {layout.transformer.place!r}, whose transformer takes "
            f"{wanted} channels where its autoencoder gives {channels}: a variant for filling or editing, "
            "which cannot be trained here. Use the plain Flux.1 dev or schnell."
        )
    raise ModelError(
        f"`vae_path` is {layout.vae.place!r}, an autoencoder with {channels} latent channels, but Flux works "
        f"on {wanted}. Set `vae_path` to an autoencoder made for Flux, or leave it empty."
    )
