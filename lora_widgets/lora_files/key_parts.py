"""Taking a tensor's key apart: the part of the model, the module, and which of its tensors it is."""

import re
from dataclasses import dataclass

from torch import Tensor

from lora_widgets.lora_files.layouts import Component, Layout

TENSOR_NAMES = (
    *("lora_down.weight", "lora_up.weight", "lora_mid.weight", "alpha", "dora_scale"),
    *("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
    *("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"),
    *("a1.weight", "a2.weight", "b1.weight", "b2.weight", "oft_blocks", "rescale"),
    *("weight", "on_input", "diff", "diff_b", "w_norm", "b_norm"),
)
"""What the tensors of a module are called in kohya's files."""
_OTHER_NAMES = {
    "lora_A.weight": "lora_down.weight",
    "lora_B.weight": "lora_up.weight",
    "lora_A.default.weight": "lora_down.weight",
    "lora_B.default.weight": "lora_up.weight",
    "lora.down.weight": "lora_down.weight",
    "lora.up.weight": "lora_up.weight",
    "lora_linear_layer.down.weight": "lora_down.weight",
    "lora_linear_layer.up.weight": "lora_up.weight",
    "lora_magnitude_vector": "dora_scale",
    "lora_magnitude_vector.weight": "dora_scale",
    "lora_magnitude_vector.default.weight": "dora_scale",
}
_ENDS = {name: name for name in TENSOR_NAMES} | _OTHER_NAMES
_LONGEST_FIRST = sorted(_ENDS, key=len, reverse=True)
_OLD_PROCESSOR = re.compile(r"(.+)\.processor\.(to_[qkv]|to_out)_lora\.(down|up)\.weight")
_KOHYA = re.compile(r"(lora_unet|lora_transformer|lycoris|lora_te\d?)_(.+)")
_DOTTED = {
    "diffusers": re.compile(r"(?:base_model\.model\.)?(unet|transformer|text_encoder(?:_\d)?)\.(.+)"),
    "native": re.compile(
        r"(?:model\.)?(diffusion_model|(?:text_encoders\.)?(?:clip_l|clip_g|t5xxl)\.transformer)\.(.+)"
    ),
}
_DENOISERS = {"lora_unet", "lora_transformer", "lycoris", "unet", "transformer", "diffusion_model"}


@dataclass(frozen=True)
class KeyParts:
    """A key taken apart; ``module`` is all before the tensor, ``part`` how it calls the part of the model."""

    module: str
    tensor: str
    dialect: str
    part: str
    path: str
    is_magnitude: bool = False

    @property
    def is_denoiser(self) -> bool:
        """Say whether it is in the denoiser, not in a text encoder."""
        return self.part in _DENOISERS

    @property
    def is_t5(self) -> bool:
        """Say whether it is in a T5 text encoder."""
        return self.path.replace("_", ".").startswith("encoder.block.")

    def component_in(self, layout: Layout) -> Component | None:
        """Return the part of a family that it means, or None."""
        if self.is_denoiser:
            return layout.components[0]
        if self.is_t5:
            return layout.component("lora_te3")
        texts = layout.components[1:]
        if self.dialect == "kohya":
            # Some programs count no first text encoder, some count the only one.
            first = self.part in ("lora_te", "lora_te1")
            return texts[0] if first else layout.component(self.part)
        if self.dialect == "diffusers":
            return next((c for c in texts if c.diffusers == self.part), None)
        return next(
            (c for c in texts if c.comfy == f"text_encoders.{self.part.removeprefix('text_encoders.')}"), None
        )

    def shape_for(self, tensor: Tensor) -> tuple[int, ...]:
        """Return the shape the tensor has in kohya's files."""
        if not self.is_magnitude:
            return tuple(tensor.shape)
        # PEFT's are one for each output: (outputs,), or (1, outputs, 1, 1) for a convolution.
        return (tensor.numel(), *[1] * max(1, tensor.ndim - 1))


def split_key(key: str) -> KeyParts | None:
    """Take a key apart; None for one that no adapter of a kind known here has."""
    if match := _OLD_PROCESSOR.fullmatch(key):
        path = f"{match[1]}.{match[2]}" + (".0" if match[2] == "to_out" else "")
        return _located(path, f"lora_{match[3]}.weight")
    end = next((end for end in _LONGEST_FIRST if key.endswith(f".{end}")), None)
    if end is None:
        return None
    module = key.removesuffix(f".{end}")
    return _located(module, _ENDS[end], is_magnitude=end.startswith("lora_magnitude"))


def _located(module: str, tensor: str, *, is_magnitude: bool = False) -> KeyParts | None:
    if "." not in module:
        match = _KOHYA.fullmatch(module)
        return KeyParts(module, tensor, "kohya", match[1], match[2]) if match else None
    for dialect, pattern in _DOTTED.items():
        if match := pattern.fullmatch(module):
            return KeyParts(module, tensor, dialect, match[1], match[2], is_magnitude)
    path = module.removeprefix("base_model.model.")
    if re.match(r"(transformer_blocks|single_transformer_blocks|down_blocks|mid_block|up_blocks)\.", path):
        return KeyParts(module, tensor, "diffusers", "transformer", path, is_magnitude)
    if re.match(r"(double_blocks|single_blocks|joint_blocks)\.", path):
        return KeyParts(module, tensor, "native", "diffusion_model", path, is_magnitude)
    return None
