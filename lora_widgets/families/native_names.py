"""From the names in a publisher's own file to those of the diffusers and transformers classes.

The conversions are those of diffusers itself. They move tensors from name to name, and cut and join some, so
they are run on stand-ins that remember what is done to them: what is to be read from where is known before a
single number is.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from lora_widgets.catalog.weight_files import Shapes
from lora_widgets.families.piece import Piece

Names = dict[str, Piece]
"""Name of a parameter -> where its values are in the file."""
Rename = Callable[[Shapes, Mapping[str, Any]], Names]
"""Maps the shapes of a file and the configuration of one part to the places of that part's parameters."""

_VAE_STARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
_VAE_PREFIXES = ("first_stage_model.", "vae.", "")
_CLIP_L_PREFIXES = (
    "cond_stage_model.transformer.",
    "conditioner.embedders.0.transformer.",
    "text_encoders.clip_l.transformer.",
    "",
)
_T5_PREFIXES = ("text_encoders.t5xxl.transformer.", "")
_DENOISER_PREFIXES = ("model.diffusion_model.", "")
_CLIP_G_PREFIX = "conditioner.embedders.1.model."
_CLIP_G_PREFIXES = ("text_encoders.clip_g.transformer.", "")
_OLD_ATTENTION = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}


def ldm_unet(shapes: Shapes, config: Mapping[str, Any]) -> Names:
    """Return the places of a UNet in LDM layout (Stable Diffusion 1 and SDXL)."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    return convert_ldm_unet_checkpoint(pieces_below(shapes, "model.diffusion_model.", keep=True), config)


def vae(shapes: Shapes, config: Mapping[str, Any]) -> Names:
    """Return the places of an autoencoder in LDM or diffusers layout, of its own file or a model's."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    found = next(
        (inside for prefix in _VAE_PREFIXES if (inside := pieces_below(shapes, prefix, starts=_VAE_STARTS))),
        {},
    )
    if any(name.startswith("encoder.down_blocks.") for name in found):
        return {present_name(name): piece for name, piece in found.items()}
    return convert_ldm_vae_checkpoint(found, config)


def clip_l(shapes: Shapes, _config: Mapping[str, Any]) -> Names:
    """Return the places of CLIP-L, in a file of its own or a base model's.

    They are without the level "text_model", which transformers 5 dropped.
    """
    found = _first_below(shapes, _CLIP_L_PREFIXES)
    return {present_name(name): piece for name, piece in found.items()}


def t5(shapes: Shapes, _config: Mapping[str, Any]) -> Names:
    """Return the places of T5's encoder, in its own file or a base model's."""
    return _first_below(shapes, _T5_PREFIXES)


def flux_transformer(shapes: Shapes, _config: Mapping[str, Any]) -> Names:
    """Return the places of Flux's transformer in the layout of Black Forest Labs."""
    from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers

    found = _first_below(shapes, _DENOISER_PREFIXES)
    return convert_flux_transformer_checkpoint_to_diffusers(
        {name: _InProportion(piece.name, piece.shape) for name, piece in found.items()}
    )


def clip_g(shapes: Shapes, config: Mapping[str, Any]) -> Names:
    """Return the places of CLIP-G in OpenCLIP's layout, as SDXL's files hold it."""
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    found = pieces_below(shapes, _CLIP_G_PREFIX, keep=True)
    names = convert_open_clip_checkpoint(_OfConfig(config), found, prefix=_CLIP_G_PREFIX)
    return {present_name(name): piece for name, piece in names.items()}


def clip_g_of_sd3(shapes: Shapes, _config: Mapping[str, Any]) -> Names:
    """Return the places of CLIP-G in the layout of transformers, in its own file or one of SD3."""
    found = _first_below(shapes, _CLIP_G_PREFIXES)
    return {present_name(name): piece for name, piece in found.items()}


def sd3_transformer(shapes: Shapes, _config: Mapping[str, Any]) -> Names:
    """Return the places of SD3's transformer in the layout of Stability AI."""
    from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers

    return convert_sd3_transformer_checkpoint_to_diffusers(_first_below(shapes, _DENOISER_PREFIXES))


def of_folder(shapes: Shapes) -> Names:
    """Return the places of a part in a folder of its own, whose names are the classes' own or older ones."""
    return {present_name(name): Piece(name, tuple(shape)) for name, shape in shapes.items()}


def present_name(name: str) -> str:
    """Return the present name of a tensor in the classes of diffusers and transformers.

    transformers 5 dropped the level "text_model" that its version 4 writes; attention had other names in the
    first versions of diffusers.
    """
    for old, new in _OLD_ATTENTION.items():
        name = name.replace(old, new)
    return name.removeprefix("text_model.")


def pieces_below(
    shapes: Shapes, prefix: str, *, starts: tuple[str, ...] = ("",), keep: bool = False
) -> dict[str, Any]:
    """Return the tensors below a prefix that go on with one of ``starts``; ``keep`` leaves the prefix on."""
    wanted = tuple(prefix + start for start in starts)
    return {
        name if keep else name.removeprefix(prefix): Piece(name, tuple(shape))
        for name, shape in shapes.items()
        if name.startswith(wanted)
    }


def _first_below(shapes: Shapes, prefixes: tuple[str, ...]) -> dict[str, Any]:
    """Return the tensors below the first of the prefixes that has any."""
    return next((found for prefix in prefixes if (found := pieces_below(shapes, prefix))), {})


class _InProportion(Piece):
    """A piece that is split in proportion: the conversion of Flux knows the sizes of the real model only."""

    def split(self, sizes: Any, dim: int = 0) -> tuple[Piece, ...]:
        """Return parts whose sizes are to each other as ``sizes``."""
        whole = self.shape[dim]
        return super().split([whole * size // sum(sizes) for size in sizes], dim)


class _OfConfig(nn.Module):
    """Stands in for a model where a conversion asks for its configuration only."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        from types import SimpleNamespace

        super().__init__()
        self.config = SimpleNamespace(**config)
