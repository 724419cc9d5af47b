"""How much a denoiser keeps for its backward pass, from its configuration alone. Pure.

Counted in numbers per latent position: what one picture needs is that times the positions of its latents and
the bytes of a number. The counts are those of the tensors autograd saves in diffusers' classes with LoRA on
every linear layer and fused attention; a test holds them against a dry run of the real sizes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

PARTS_OF_4 = 4
"""Positions that become one where a UNet halves both sides, and where a transformer makes tokens of 2 x 2."""

# A transformer block of a UNet keeps the inputs of its norms (3), of its projections and of attention (13),
# and three tensors of the feed-forward net, which is four times as wide (12).
_NUMBERS_OF_UNET_TRANSFORMER = 28
# Before and after its blocks, a transformer of a UNet keeps the inputs of its norm and two projections.
_NUMBERS_AROUND_TRANSFORMERS = 3
# The blocks of Flux and SD3 keep the same and what modulates it; Flux' single blocks share some of it.
_NUMBERS_OF_FLUX_DOUBLE, _NUMBERS_OF_FLUX_SINGLE = 22, 19
_NUMBERS_OF_SD3, _NUMBERS_OF_SD3_WITH_NORM = 21, 23
_TEXT_TOKENS = {"FluxTransformer2DModel": 512, "SD3Transformer2DModel": 333}

Kind = Literal["convolutions", "transformer"]
Config = Mapping[str, Any]


@dataclass(frozen=True)
class Unit:
    """A piece of a denoiser that checkpointing computes twice.

    ``kept`` numbers per latent position are its input, ``inside`` are all it needs for its backward pass.
    """

    kind: Kind
    kept: float
    inside: float


@dataclass(frozen=True)
class Activations:
    """What a denoiser keeps: its units, and ``between`` them numbers per latent position.

    ``text_tokens`` count beside the picture's own tokens in joint attention; elsewhere they are few.
    """

    units: tuple[Unit, ...]
    between: float
    text_tokens: int = 0


def activations_of(config: Config) -> Activations | None:
    """Return what a denoiser with this configuration of diffusers keeps; None for one we do not know."""
    if config.get("block_out_channels"):
        return _of_unet(config)
    if config.get("_class_name") in _TEXT_TOKENS and config.get("num_layers"):
        return _of_transformer(config)
    return None


def _of_transformer(config: Config) -> Activations:
    """Return what a transformer keeps that reads picture and text together, in blocks of one or two kinds."""
    width = int(config["num_attention_heads"]) * int(config["attention_head_dim"]) / PARTS_OF_4
    doubles, singles = int(config["num_layers"]), int(config.get("num_single_layers") or 0)
    numbers = _NUMBERS_OF_FLUX_DOUBLE
    if config["_class_name"] == "SD3Transformer2DModel":
        numbers = _NUMBERS_OF_SD3_WITH_NORM if config.get("qk_norm") else _NUMBERS_OF_SD3
    units = (Unit("transformer", width, numbers * width),) * doubles
    units += (Unit("transformer", width, _NUMBERS_OF_FLUX_SINGLE * width),) * singles
    return Activations(units, width, _TEXT_TOKENS[config["_class_name"]])


def _of_unet(config: Config) -> Activations:
    channels = [int(width) for width in config["block_out_channels"]]
    layers = int(config.get("layers_per_block", 2))
    down = config.get("down_block_types") or ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
    up = config.get("up_block_types") or ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
    depths = _per_level(config.get("transformer_layers_per_block", 1), len(channels))
    units: list[Unit] = []
    skips, width, between = [channels[0]], channels[0], 3.0 * channels[0]  # conv_in, and norm to conv_out
    for level, (out, kind) in enumerate(zip(channels, down, strict=True)):
        share = PARTS_OF_4**-level
        for _ in range(layers):
            units += [_resnet(width, out, share), *_transformer(out, share, kind, depths[level])]
            between += _around(out, share, kind)
            width = out
            skips.append(out)
        if level < len(channels) - 1:
            skips.append(out)
            between += out * share  # the input of the convolution that halves the sides
    deepest = PARTS_OF_4 ** -(len(channels) - 1)
    units += [_resnet(width, width, deepest), *_transformer(width, deepest, "Attn", depths[-1])]
    units += [_resnet(width, width, deepest)]
    between += _around(width, deepest, "Attn")
    for level, kind in zip(reversed(range(len(channels))), up, strict=True):
        share = PARTS_OF_4**-level
        for _ in range(layers + 1):
            units += [_resnet(width + skips.pop(), channels[level], share)]
            width = channels[level]
            units += _transformer(width, share, kind, depths[level])
            between += _around(width, share, kind)
        if level > 0:
            between += width * share * PARTS_OF_4  # the enlarged input of the convolution after it
    return Activations(tuple(units), between)


def _resnet(inputs: int, outputs: int, share: float) -> Unit:
    """Two convolutions, each behind a norm and an activation, all of which keep their input."""
    return Unit("convolutions", inputs * share, 3 * (inputs + outputs) * share)


def _transformer(width: int, share: float, kind: str, depth: int) -> Iterator[Unit]:
    if "Attn" in kind:
        for _ in range(depth):
            yield Unit("transformer", width * share, _NUMBERS_OF_UNET_TRANSFORMER * width * share)


def _around(width: int, share: float, kind: str) -> float:
    return _NUMBERS_AROUND_TRANSFORMERS * width * share if "Attn" in kind else 0.0


def _per_level(value: object, levels: int) -> Sequence[int]:
    return cast("Sequence[int]", value) if isinstance(value, list | tuple) else (cast("int", value),) * levels
