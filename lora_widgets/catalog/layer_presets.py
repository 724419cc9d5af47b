"""Which layers of a model get an adapter: sets with the names that users know from LyCORIS.

LyCORIS' own sets of these names fail or match nothing on models of diffusers; these are what they mean to be.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

_TRANSFORMERS = frozenset(
    {"Transformer2DModel", "FluxTransformerBlock", "FluxSingleTransformerBlock", "JointTransformerBlock"}
)
_ATTENTION = frozenset({"Attention", "FluxAttention"})
_CONVOLUTION_BLOCKS = frozenset({"ResnetBlock2D", "Downsample2D", "Upsample2D"})
_TEXT_ATTENTION = frozenset({"CLIPAttention", "T5Attention"})
_TEXT = _TEXT_ATTENTION | {"CLIPMLP", "T5DenseActDense", "T5DenseGatedActDense"}


@dataclass(frozen=True)
class LayerChoice:
    """Layers of one model: those in blocks of the classes ``blocks``, and those that ``names`` match.

    Names are regular expressions, or shell patterns with ``fnmatch``, for the path of a layer in files or its
    end. ``kernels`` are convolutions larger than 1x1, ``norms`` normalisation layers in the blocks.
    """

    blocks: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()
    kernels: bool = False
    norms: bool = False
    excluded: tuple[str, ...] = ()
    fnmatch: bool = False


@dataclass(frozen=True)
class LayerOverride:
    """Another type or size for some layers: those in blocks of a class, or those whose path matches."""

    pattern: str
    of_block: bool
    algorithm: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True)
class LayerPreset:
    """The layers of the denoiser and of the text encoders; where several overrides match, the last counts."""

    name: str
    summary: str
    denoiser: LayerChoice
    text: LayerChoice
    overrides: tuple[LayerOverride, ...] = ()


_IA3_INPUTS = ("ff.net.2", "(img|txt)_mlp.2", "linear2", "mlp.fc2", "DenseReluDense.wo")

_ROWS = (
    LayerPreset(
        name="full",
        summary="All linear layers and convolutions of the blocks.",
        denoiser=LayerChoice(_TRANSFORMERS | _CONVOLUTION_BLOCKS, kernels=True),
        text=LayerChoice(_TEXT),
    ),
    LayerPreset(
        name="full-lin",
        summary="As full, without convolutions larger than 1x1.",
        denoiser=LayerChoice(_TRANSFORMERS | {"ResnetBlock2D"}),
        text=LayerChoice(_TEXT),
    ),
    LayerPreset(
        name="attn-mlp",
        summary="Attention and the layers beside it: what plain LoRA adapts.",
        denoiser=LayerChoice(_TRANSFORMERS),
        text=LayerChoice(_TEXT),
    ),
    LayerPreset(
        name="attn-only",
        summary="Attention alone.",
        denoiser=LayerChoice(_ATTENTION),
        text=LayerChoice(_TEXT_ATTENTION),
    ),
    LayerPreset(
        name="unet-only",
        summary="As full, without text encoders.",
        denoiser=LayerChoice(_TRANSFORMERS | _CONVOLUTION_BLOCKS, kernels=True),
        text=LayerChoice(),
    ),
    LayerPreset(
        name="unet-transformer-only",
        summary="As attn-mlp, without text encoders.",
        denoiser=LayerChoice(_TRANSFORMERS),
        text=LayerChoice(),
    ),
    LayerPreset(
        name="unet-convblock-only",
        summary="Only the convolution blocks of a UNet, for colours and textures.",
        denoiser=LayerChoice(_CONVOLUTION_BLOCKS, names=("conv_in$", "conv_out$"), kernels=True),
        text=LayerChoice(),
    ),
    LayerPreset(
        name="ia3",
        summary="Keys and values of attention, and the last layer beside it: what (IA)³ was made for.",
        denoiser=LayerChoice(names=("to_k", "to_v", "qkv", "linear1", *_IA3_INPUTS)),
        text=LayerChoice(names=("k_proj", "v_proj", r"SelfAttention.[kv]", *_IA3_INPUTS)),
        overrides=tuple(
            LayerOverride(pattern, of_block=False, settings={"train_on_input": True})
            for pattern in _IA3_INPUTS
        ),
    ),
)

LAYER_PRESETS: dict[str, LayerPreset] = {row.name: row for row in _ROWS}
