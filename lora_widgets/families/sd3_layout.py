"""Where the parts of a Stable Diffusion 3 model are and what they are like, and whether it is one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lora_widgets.errors import ModelError
from lora_widgets.families.weights import Source, locate_model, locate_vae

LAYOUT = (
    "model_index.json and the folders transformer, vae, text_encoder, text_encoder_2, tokenizer, "
    "tokenizer_2 and scheduler, with text_encoder_3 and tokenizer_3 where T5 is used"
)
Variant = Literal["m", "5-medium", "5-large"]


@dataclass(frozen=True)
class Layout:
    """Where the parts are, with their configurations; ``vae`` may be another folder than ``model``.

    ``has_t5`` tells whether the model came with its third text encoder, without which it works too.
    """

    model: Source
    vae: Source
    vae_subfolder: str
    vae_config: dict[str, Any]
    transformer_config: dict[str, Any]
    scheduler_config: dict[str, Any]
    has_t5: bool

    @property
    def variant(self) -> Variant:
        """Which of the models it is built like: SD3 medium, or SD3.5 medium or large."""
        config = self.transformer_config
        if not config.get("qk_norm"):
            return "m"
        return "5-medium" if config.get("dual_attention_layers") else "5-large"

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
    index, transformer = model.read_json("model_index.json"), model.read_json("transformer/config.json")
    if index is not None:
        _refuse_other_families(model, str(index.get("_class_name", "")))
    if index is None or transformer is None:
        missing = "model_index.json" if index is None else "transformer/config.json"
        raise ModelError(
            f"`{model.setting}` is {model.place!r}, which has no {missing}, so it is no SD3 model in "
            f"diffusers layout. Set it to the folder that holds {LAYOUT}."
        )
    vae, subfolder = (locate_vae(config.vae_path), "") if config.vae_path else (model, "vae")
    vae_config = vae.read_json(f"{subfolder}/config.json" if subfolder else "config.json")
    if vae_config is None:
        raise ModelError(
            f"`{model.setting}` is {model.place!r}, which has no vae/config.json. "
            "Download the model's vae folder too, or set `vae_path` to a folder with an autoencoder."
        )
    _check_channels(vae, vae_config, wanted=transformer.get("in_channels", 16))
    return Layout(
        model=model,
        vae=vae,
        vae_subfolder=subfolder,
        vae_config=vae_config,
        transformer_config=transformer,
        scheduler_config=model.read_json("scheduler/scheduler_config.json") or {},
        has_t5=model.read_json("text_encoder_3/config.json") is not None,
    )


def _refuse_other_families(model: Source, pipeline: str) -> None:
    if pipeline.startswith("StableDiffusion3"):
        return
    raise ModelError(
        f"`{model.setting}` is {model.place!r}, whose model_index.json names {pipeline or 'no pipeline'}, "
        "but `model_type` is SD3. Set `model_type` to the model's own, or choose a SD3 or SD3.5 model."
    )


def _check_channels(vae: Source, vae_config: dict[str, Any], *, wanted: int) -> None:
    channels = vae_config.get("latent_channels", 4)
    if channels != wanted:
        raise ModelError(
            f"`{vae.setting}` is {vae.place!r}, an autoencoder with {channels} latent channels, but the base "
            f"model works on {wanted}. Set `vae_path` to an autoencoder made for SD3, or leave it empty."
        )
