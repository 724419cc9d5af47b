"""Where the parts of a Stable Diffusion 3 model are and what they are like, and whether it is one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lora_widgets.config.misplaced import BASE_MODEL
from lora_widgets.errors import ModelError
from lora_widgets.families import native_names
from lora_widgets.families.own_files import (
    OwnFile,
    part_inside,
    part_of_folder,
    part_of_setting,
)
from lora_widgets.families.part_classes import AUTOENCODER, CLIP_WITH_PROJECTION, SD3_TRANSFORMER, T5
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
from lora_widgets.families.weights import Source, locate_model

_WHOLE = (
    "SD3 model in diffusers layout. Set it to the folder that holds model_index.json and the folders "
    "transformer, vae, text_encoder, text_encoder_2, tokenizer, tokenizer_2 and scheduler, with "
    "text_encoder_3 and tokenizer_3 where T5 is used"
)
Variant = Literal["m", "5-medium", "5-large"]
_CONFIGS = "sd3"
_T5, _T5_TOKENIZER = "text_encoder_3", "tokenizer_3"
_TRANSFORMER = PartLayout("transformer", SD3_TRANSFORMER, "", native_names.sd3_transformer)
_OWN_FILES = {
    "vae": OwnFile("vae_path", PartLayout("VAE", AUTOENCODER, "first_stage_model.", native_names.vae)),
    "text_encoder": OwnFile(
        "clip_l_path",
        PartLayout(
            "text encoder CLIP-L",
            CLIP_WITH_PROJECTION,
            "text_encoders.clip_l.transformer.",
            native_names.clip_l,
        ),
    ),
    "text_encoder_2": OwnFile(
        "clip_g_path",
        PartLayout(
            "text encoder CLIP-G",
            CLIP_WITH_PROJECTION,
            "text_encoders.clip_g.transformer.",
            native_names.clip_g_of_sd3,
        ),
    ),
    _T5: OwnFile(
        "t5xxl_path",
        PartLayout("text encoder T5-XXL", T5, "text_encoders.t5xxl.transformer.", native_names.t5),
    ),
}


@dataclass(frozen=True)
class Layout:
    """Where the parts are, with their configurations; ``weights_file`` is the single file, if it is one.

    ``clips`` and ``tokenizers`` are CLIP-L and CLIP-G. ``t5`` and its tokenizer are None where the model
    comes without T5, which works too.
    """

    transformer: PartPlace
    vae: PartPlace
    clips: tuple[PartPlace, PartPlace]
    t5: PartPlace | None
    tokenizers: tuple[TokenizerPlace, ...]
    t5_tokenizer: TokenizerPlace | None
    scheduler_config: Mapping[str, Any]
    has_own_vae: bool
    weights_file: Path | None

    @property
    def parts(self) -> tuple[PartPlace, ...]:
        """All of them, in the order of use."""
        t5 = () if self.t5 is None else (self.t5,)
        return (*self.clips, *t5, self.vae, self.transformer)

    @property
    def variant(self) -> Variant:
        """Which of the models it is built like: SD3 medium, or SD3.5 medium or large."""
        config = self.transformer.config
        if not config.get("qk_norm"):
            return "m"
        return "5-medium" if config.get("dual_attention_layers") else "5-large"

    @property
    def latents_along(self) -> int:
        """The latents along a side that the transformer's table of positions reaches."""
        config = self.transformer.config
        return config.get("pos_embed_max_size", 96) * config.get("patch_size", 2)

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
    for clip in layout.clips:
        _check_projection(clip)
    check_parts(layout.parts)
    return layout


def _in_folder(config: Any) -> Layout:
    model = locate_model(BASE_MODEL, str(config.pretrained_model_name_or_path))
    refuse_other_families(model, wanted=config.model_type)
    transformer = part_of_folder(model, "transformer", SD3_TRANSFORMER, whole=_WHOLE)
    defaults, parts = read_configs(_CONFIGS, None), {}
    for part, own in _OWN_FILES.items():
        configured = model.read_json(f"{part}/config.json")
        parts[part] = part_of_setting(own, config, configured or defaults[part])
        if parts[part] is None and (configured is not None or part != _T5):
            kind = own.layout.kind
            parts[part] = part_of_folder(model, part, kind, whole=_WHOLE, setting=own.setting)
    has_tokenizer = model.read_json(f"{_T5_TOKENIZER}/tokenizer_config.json") is not None
    return _layout(
        config,
        transformer,
        parts,
        tokenizers=tokenizers_beside(model, config.tokenizer_path, count=2),
        t5_tokenizer_of=model if has_tokenizer else None,
        scheduler_config=model.read_json("scheduler/scheduler_config.json") or {},
    )


def _in_file(file: WeightFile, config: Any) -> Layout:
    file.refuse_misplaced(config.model_type)
    configs = read_configs(_CONFIGS, config.model_config_path)
    parts = {
        part: part_of_setting(own, config, configs[part]) or part_inside(file, own, configs[part])
        for part, own in _OWN_FILES.items()
    }
    for part, own in _OWN_FILES.items():
        if parts[part] is None and part != _T5:
            raise ModelError(
                f"`{BASE_MODEL}` is {str(file.path)!r}, which holds no {own.layout.words}. Set "
                f"`{own.setting}` to a file with it, or use a SD3 model that includes it."
            )
    transformer = _built_like(file, configs["transformer"])
    return _layout(
        config,
        FilePart(file, _TRANSFORMER, transformer),
        parts,
        tokenizers=tokenizers_from_hub(config.tokenizer_path, count=2),
        t5_tokenizer_of=None,
        scheduler_config=configs["scheduler"],
    )


def _layout(
    config: Any,
    transformer: PartPlace,
    parts: Mapping[str, PartPlace | None],
    *,
    tokenizers: tuple[TokenizerPlace, ...],
    t5_tokenizer_of: Source | None,
    scheduler_config: Mapping[str, Any],
) -> Layout:
    vae, clip_l, clip_g, t5 = (parts[part] for part in _OWN_FILES)
    assert vae and clip_l and clip_g  # T5 alone may be missing
    reader = None
    if t5 is not None:
        reader = t5_tokenizer(t5_tokenizer_of, _T5_TOKENIZER, tokenizer_path=config.tokenizer_path)
    return Layout(
        transformer=transformer,
        vae=vae,
        clips=(clip_l, clip_g),
        t5=t5,
        tokenizers=tokenizers,
        t5_tokenizer=reader,
        scheduler_config=scheduler_config,
        has_own_vae=not config.vae_path,
        weights_file=transformer.file.path if isinstance(transformer, FilePart) else None,
    )


def _built_like(file: WeightFile, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of the transformer in a file: what its tensors tell is taken from them.

    SD3 medium, SD3.5 medium and large have one layout, and differ in what can be read off it.
    """
    start = next(name for name in file.shapes if name.endswith("joint_blocks.0.x_block.attn.qkv.weight"))
    start = start.removesuffix("joint_blocks.0.x_block.attn.qkv.weight")
    shapes = {
        name.removeprefix(start): shape for name, shape in file.shapes.items() if name.startswith(start)
    }
    blocks = sorted({int(name.split(".")[1]) for name in shapes if name.startswith("joint_blocks.")})
    width = shapes["joint_blocks.0.x_block.attn.qkv.weight"][1]
    table = shapes.get("pos_embed", (1, config["pos_embed_max_size"] ** 2, width))
    return dict(config) | {
        "num_layers": len(blocks),
        "num_attention_heads": width // config["attention_head_dim"],
        "caption_projection_dim": width,
        "pos_embed_max_size": round(table[1] ** 0.5),
        "dual_attention_layers": [
            block for block in blocks if f"joint_blocks.{block}.x_block.attn2.qkv.weight" in shapes
        ],
        "qk_norm": "rms_norm" if "joint_blocks.0.x_block.attn.ln_q.weight" in shapes else None,
    }


def _check_channels(layout: Layout) -> None:
    channels = layout.vae.config.get("latent_channels", 4)
    wanted = layout.transformer.config.get("in_channels", 16)
    if channels == wanted:
        return
    setting, place = ("vae_path", layout.vae.place)
    if layout.has_own_vae:
        setting, place = BASE_MODEL, layout.transformer.place
    raise ModelError(
        f"`{setting}` is {place!r}, with an autoencoder of {channels} latent channels, but the transformer "
        f"works on {wanted}. Set `vae_path` to an autoencoder made for SD3, or leave it empty where the base "
        "model has its own."
    )


def _check_projection(clip: PartPlace) -> None:
    """Make sure that a CLIP in a single file can pool its text, which that of Stable Diffusion 1 cannot."""
    if not isinstance(clip, FilePart) or "text_projection.weight" in clip.names():
        return
    raise ModelError(
        f"`{clip.file.setting}` is {clip.place!r}, whose {clip.layout.words} has no projection of the pooled "
        "text (text_projection.weight). SD3 needs it: use the file that was published with SD3."
    )
