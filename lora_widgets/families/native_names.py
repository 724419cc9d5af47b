"""From the names in a publisher's own file to those of the diffusers and transformers classes.

The conversions are those of diffusers itself. They move tensors from name to name and cut off sizes of 1, so
they are run on stand-ins that know their name and shape only: what is to be read from where is known before a
single number is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lora_widgets.catalog.weight_files import Shapes

Names = dict[str, str]
"""Name of a parameter -> name of its tensor in the file."""
Rename = Callable[[Shapes, Mapping[str, Any]], Names]
"""Maps the shapes of a file and the configuration of one part to that part's names."""

_VAE_STARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
_VAE_PREFIXES = ("first_stage_model.", "vae.", "")
_CLIP_PREFIXES = ("cond_stage_model.transformer.",)
_OLD_ATTENTION = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}


@dataclass(frozen=True)
class _StandIn:
    """A tensor of which only name and shape are known."""

    name: str
    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, cut: Any) -> "_StandIn":
        return self


def ldm_unet(shapes: Shapes, config: Mapping[str, Any]) -> Names:
    """Return the names of a UNet in LDM layout (Stable Diffusion 1 and SDXL)."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    start = "model.diffusion_model."
    return _names(convert_ldm_unet_checkpoint(_stand_ins(shapes, start), config))


def vae(shapes: Shapes, config: Mapping[str, Any]) -> Names:
    """Return the names of an autoencoder in LDM or diffusers layout, in a file of its own or in a model's."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    found = _below(shapes, *_VAE_PREFIXES, wanted=_VAE_STARTS)
    if any(name.startswith("encoder.down_blocks.") for name in found):
        return {_with_new_attention(name): inside.name for name, inside in found.items()}
    return _names(convert_ldm_vae_checkpoint(found, config))


def clip(shapes: Shapes, _config: Mapping[str, Any]) -> Names:
    """Return the names of a CLIP text encoder, without the level "text_model" that transformers 5 dropped."""
    found = _below(shapes, *_CLIP_PREFIXES, wanted=("",))
    return {name.removeprefix("text_model."): inside.name for name, inside in found.items()}


def _stand_ins(shapes: Shapes, start: str) -> dict[str, Any]:
    return {name: _StandIn(name, shape) for name, shape in shapes.items() if name.startswith(start)}


def _below(shapes: Shapes, *prefixes: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    """Return the tensors below the first prefix under which there are any that begin as ``wanted``."""
    for prefix in prefixes:
        starts = tuple(prefix + start for start in wanted)
        found = {
            name.removeprefix(prefix): _StandIn(name, shape)
            for name, shape in shapes.items()
            if name.startswith(starts)
        }
        if found:
            return found
    return {}


def _with_new_attention(name: str) -> str:
    """Return the present name of an attention weight; the first versions of diffusers had other ones."""
    for old, new in _OLD_ATTENTION.items():
        name = name.replace(old, new)
    return name


def _names(converted: Mapping[str, Any]) -> Names:
    return {name: stand_in.name for name, stand_in in converted.items()}
