"""The kinds of weight files people have, told apart by the names and shapes of their tensors alone.

A base model in one file keeps the names of its first publisher: LDM for Stable Diffusion 1 and 2, SAI for
SDXL and SD3, BFL for Flux. File names and sizes say nothing, so they are never asked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

CLIP_TOKENIZER = "openai/clip-vit-large-patch14"
"""Where on the hub the tokenizer of CLIP is, which no single file holds."""
T5_TOKENIZER = "google-t5/t5-small"
"""Where on the hub the tokenizer of T5-XXL is: all T5 have one vocabulary, and this one needs no consent."""
Shapes = Mapping[str, tuple[int, ...]]
Role = Literal["base model", "part", "vae", "clip", "t5", "adapter", "other"]

_DENOISER = "model.diffusion_model."
_ADAPTER_ENDS = (
    *("lora_down.weight", "lora_up.weight", "lora.down.weight", "lora.up.weight", "dora_scale"),
    *("lora_A.weight", "lora_B.weight", "lora_A.default.weight", "lora_B.default.weight"),
    *("hada_w1_a", "lokr_w1", "lokr_w1_a", "oft_blocks", "oft_diag", "on_input", ".diff"),
)
_EMBEDDING = {"emb_params", "string_to_param.*", "clip_l", "clip_g"}
QUANTISED = "quantised"
"""The kind of a file whose numbers are weights only once they were multiplied by scales beside them."""
_SCALE_ENDS = (
    *("scale_weight", "weight_scale", "scaled_fp8", "comfy_quant"),  # ComfyUI
    *(".absmax", ".quant_map", ".SCB"),  # bitsandbytes
    *(".qweight", ".qzeros", ".wscales"),  # GPTQ, AWQ, SVDQuant
)
_VAE_PREFIXES = ("", "first_stage_model.", "vae.")
_FLUX = "double_blocks.0.img_attn.norm.key_norm.scale"
_LIKE_FLUX = ("distilled_guidance_layer.", "single_stream_modulation.", "early_stream_modulations.")
_SD3 = "joint_blocks.0.context_block.adaLN_modulation.1.bias"
_CLIP_WIDTH = {768: "CLIP-L", 1280: "CLIP-G"}


@dataclass(frozen=True)
class FileKind:
    """One kind of weight file; ``families`` are the model types it serves, none where no family of ours does.

    ``words`` name it with an article, ``is_it`` looks at names and shapes.
    """

    name: str
    words: str
    role: Role
    is_it: Callable[[Shapes], bool]
    families: tuple[str, ...] = ()


def kind_of(shapes: Shapes) -> FileKind:
    """Return what a file with tensors of these names and shapes is."""
    bare = denoiser_part(shapes)
    looked_at = {**shapes, **bare}
    return next(kind for kind in FILE_KINDS.values() if kind.is_it(looked_at))


def denoiser_part(shapes: Shapes) -> Shapes:
    """Return the shapes of the denoiser, by their names in a file that holds nothing else."""
    return {
        name.removeprefix(_DENOISER): shape for name, shape in shapes.items() if name.startswith(_DENOISER)
    }


def _has(shapes: Shapes, *starts: str) -> bool:
    return any(name.startswith(starts) for name in shapes)


def _width(shapes: Shapes, name: str) -> int:
    """Return the size of the second dimension; 0 where there is no such tensor or dimension."""
    return (*shapes.get(name, ()), 0, 0)[1]


def _is_adapter(shapes: Shapes) -> bool:
    return any(name.endswith(_ADAPTER_ENDS) for name in shapes)


def _is_quantised(shapes: Shapes) -> bool:
    return any(name.endswith(_SCALE_ENDS) for name in shapes)


def _is_embedding(shapes: Shapes) -> bool:
    return bool(shapes) and set(shapes) <= _EMBEDDING


def _is_controlnet(shapes: Shapes) -> bool:
    return _has(shapes, "control_model.", "controlnet_")


def _is_flux(shapes: Shapes) -> bool:
    return _FLUX in shapes and _width(shapes, "img_in.weight") == 64 and not _has(shapes, *_LIKE_FLUX)


def _is_flux_dev(shapes: Shapes) -> bool:
    return _is_flux(shapes) and _has(shapes, "guidance_in.")


def _is_other_flux(shapes: Shapes) -> bool:
    return _FLUX in shapes and not _is_flux(shapes)


def _is_sd35(shapes: Shapes) -> bool:
    return _SD3 in shapes and "joint_blocks.0.x_block.attn.ln_q.weight" in shapes


def _is_sd3(shapes: Shapes) -> bool:
    return _SD3 in shapes


def _is_ldm(shapes: Shapes) -> bool:
    return "input_blocks.0.0.weight" in shapes and _has(shapes, "output_blocks.")


def _is_variant(shapes: Shapes) -> bool:
    return _is_ldm(shapes) and _width(shapes, "input_blocks.0.0.weight") != 4


def _text_width(shapes: Shapes) -> int:
    return next((size[1] for name, size in shapes.items() if name.endswith("attn2.to_k.weight")), 0)


def _is_sd2(shapes: Shapes) -> bool:
    return _is_ldm(shapes) and (_has(shapes, "cond_stage_model.model.") or _text_width(shapes) == 1024)


def _is_refiner(shapes: Shapes) -> bool:
    if not (_is_ldm(shapes) and _has(shapes, "label_emb.")):
        return False
    return _has(shapes, "conditioner.embedders.0.model.") or _width(shapes, "label_emb.0.0.weight") == 2560


def _is_sdxl(shapes: Shapes) -> bool:
    return _is_ldm(shapes) and _has(shapes, "label_emb.") and "edm_mean" not in shapes


def _is_sd15(shapes: Shapes) -> bool:
    return _is_ldm(shapes) and not _has(shapes, "label_emb.")


def _is_diffusers_denoiser(shapes: Shapes) -> bool:
    unet = "down_blocks.0.resnets.0.conv1.weight" in shapes and "conv_in.weight" in shapes
    return unet or "transformer_blocks.0.attn.to_q.weight" in shapes


def _latent_channels(shapes: Shapes) -> int:
    names = (f"{prefix}decoder.conv_in.weight" for prefix in _VAE_PREFIXES)
    name = next((name for name in names if len(shapes.get(name, ())) == 4), "")
    return _width(shapes, name)


def _clip(shapes: Shapes) -> str:
    """Return which CLIP text encoder it is by its width; "" if it is none."""
    ends = ("encoder.layers.0.self_attn.q_proj.weight", "transformer.resblocks.0.attn.in_proj_weight")
    name = next((name for name in shapes if name.endswith(ends) and "vision" not in name), "")
    return _CLIP_WIDTH.get(_width(shapes, name), "CLIP") if name else ""


def _is_t5(shapes: Shapes) -> bool:
    return any(name.endswith("encoder.block.0.layer.0.SelfAttention.k.weight") for name in shapes)


# In this order: a row may rely on those above it not having applied. The last one takes what is left.
_ROWS = (
    FileKind("LoRA", "a LoRA or another adapter", "adapter", _is_adapter),
    FileKind(QUANTISED, "a file of quantised weights", "other", _is_quantised),
    FileKind("embedding", "a textual-inversion embedding", "other", _is_embedding),
    FileKind("ControlNet", "a ControlNet", "other", _is_controlnet),
    FileKind("Flux dev", "a Flux model (dev)", "base model", _is_flux_dev, ("Flux",)),
    FileKind("Flux schnell", "a Flux model (schnell)", "base model", _is_flux, ("Flux",)),
    FileKind("like Flux", "a relative of Flux, such as Fill, Chroma or Flux 2", "base model", _is_other_flux),
    FileKind("SD3.5", "a SD3.5 model", "base model", _is_sd35, ("SD3",)),
    FileKind("SD3", "a SD3 model", "base model", _is_sd3, ("SD3",)),
    FileKind("variant", "an inpainting or editing variant", "base model", _is_variant),
    FileKind("SD2", "a Stable Diffusion 2 model", "base model", _is_sd2),
    FileKind("SDXL refiner", "the SDXL refiner", "base model", _is_refiner),
    FileKind("SDXL", "a SDXL model", "base model", _is_sdxl, ("SDXL",)),
    FileKind("SD1.5", "a SD1.5 model", "base model", _is_sd15, ("SD1.5",)),
    FileKind("like SDXL", "a relative of SDXL with other noise (EDM)", "base model", _is_ldm),
    FileKind("denoiser", "the denoiser of a diffusers folder", "part", _is_diffusers_denoiser),
    FileKind(
        "VAE",
        "a VAE with 4 latent channels",
        "vae",
        lambda shapes: _latent_channels(shapes) == 4,
        ("SD1.5", "SDXL"),
    ),
    FileKind(
        "VAE-16",
        "a VAE with 16 latent channels",
        "vae",
        lambda shapes: _latent_channels(shapes) == 16,
        ("SD3", "Flux"),
    ),
    FileKind("other VAE", "a VAE of another family", "vae", lambda shapes: _latent_channels(shapes) > 0),
    FileKind(
        "CLIP-L",
        "a CLIP-L text encoder",
        "clip",
        lambda shapes: _clip(shapes) == "CLIP-L",
        ("SD1.5", "SDXL", "SD3", "Flux"),
    ),
    FileKind(
        "CLIP-G",
        "a CLIP-G text encoder",
        "clip",
        lambda shapes: _clip(shapes) == "CLIP-G",
        ("SDXL", "SD3"),
    ),
    FileKind("CLIP", "a CLIP text encoder", "clip", lambda shapes: bool(_clip(shapes)), ("SD3", "Flux")),
    FileKind("T5", "a T5 text encoder", "t5", _is_t5, ("SD3", "Flux")),
    FileKind("other", "a file of another kind", "other", lambda _: True),
)

FILE_KINDS: dict[str, FileKind] = {kind.name: kind for kind in _ROWS}
