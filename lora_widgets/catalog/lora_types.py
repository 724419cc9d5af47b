"""The eleven adapter types: their algorithm, and which settings each of them reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field

PROGRAMS = ("ComfyUI", "A1111", "diffusers")
"""Programs that draw with adapters, of which each type's row says whether they read it."""

_RANK = frozenset({"network_dim", "network_alpha", "dim_from_weights"})
_CONV = frozenset({"conv_dim", "conv_alpha", "preset"})
_BLOCKS = frozenset({"block_dims", "block_alphas"})
_PRODUCT = frozenset({"use_tucker", "use_scalar", "rs_lora", "scale_weight_norms", "train_norm"})
_ROTATION = frozenset(
    {"network_dim", "conv_dim", "constraint", "rescaled", "train_norm", "dim_from_weights", "preset"}
)


@dataclass(frozen=True)
class LoraTypeRow:
    """One adapter type.

    ``algorithm`` is the name under which adapter code knows it, ``arguments`` are settings that it fixes, and
    ``reads`` names the settings that shape it; any other structure setting has no effect with this type.
    ``preset`` says which layers it adapts by itself, ``read_by`` which of PROGRAMS read its files (A1111 only
    those of UNets, diffusers DoRA by its own names), ``needs_base`` that what its files change follows from
    the base model's weights, too.
    """

    name: str
    algorithm: str
    summary: str
    reads: frozenset[str]
    arguments: Mapping[str, object] = field(default_factory=dict[str, object])
    preset: str = "full"
    read_by: tuple[str, ...] = ("ComfyUI", "A1111")
    needs_base: bool = False
    aliases: tuple[str, ...] = ()


_ROWS = (
    LoraTypeRow(
        name="LoRA",
        algorithm="lora",
        summary="Two thin matrices beside every linear layer of the attention blocks. Loads everywhere.",
        reads=_RANK | _BLOCKS | {"rs_lora", "scale_weight_norms"},
        read_by=PROGRAMS,
        preset="attn-mlp",
    ),
    LoraTypeRow(
        name="LoCon",
        algorithm="locon",
        summary="LoRA that also adapts the convolutions, for textures and small details.",
        reads=_RANK | _CONV | _BLOCKS | _PRODUCT | {"conv_block_dims", "conv_block_alphas"},
        read_by=PROGRAMS,
    ),
    LoraTypeRow(
        name="LoKR",
        algorithm="lokr",
        summary="Kronecker product of a small and a large matrix: very small files.",
        reads=_RANK
        | _CONV
        | _PRODUCT
        | {"factor", "decompose_both", "full_matrix", "unbalanced_factorization", "dora_wd", "wd_on_output"},
        aliases=("LoKr",),
    ),
    LoraTypeRow(
        name="DyLoRA",
        algorithm="dylora",
        summary="Trains all ranks up to network_dim at once, so that the file can be cut down afterwards.",
        reads=_RANK | _CONV | {"block_size", "train_norm"},
        read_by=PROGRAMS,
    ),
    LoraTypeRow(
        name="DoRA",
        algorithm="dora",
        summary="Learns size and direction of the weights apart; strong at a low rank, and slower.",
        reads=_RANK | _CONV | _PRODUCT | {"wd_on_output"},
        arguments={"dora_wd": True},
        read_by=("ComfyUI", "diffusers"),
        needs_base=True,
    ),
    LoraTypeRow(
        name="LoHa",
        algorithm="loha",
        summary="Elementwise product of two low-rank matrices: the rank is squared, 4 to 32 is enough.",
        reads=_RANK | _CONV | _PRODUCT | {"dora_wd", "wd_on_output"},
    ),
    LoraTypeRow(
        name="(IA)³",
        algorithm="ia3",
        summary="One factor per channel: tiny files, learning rates of 5e-3 to 1e-2.",
        reads=frozenset({"preset"}),
        preset="ia3",
        read_by=("A1111",),
        needs_base=True,
        aliases=("IA3", "(IA)3"),
    ),
    LoraTypeRow(
        name="GLoRA",
        algorithm="glora",
        summary="Generalised LoRA: adapts the weights by a product with themselves and by an offset.",
        reads=_RANK | _CONV | {"use_scalar", "rs_lora", "train_norm"},
        needs_base=True,
    ),
    LoraTypeRow(
        name="Native Fine-Tuning",
        algorithm="full",
        summary="Trains the full weights of the layers; files as large as the model, rates of 1e-6 to 1e-5.",
        reads=frozenset({"train_norm", "preset"}),
        aliases=("Full", "Native Fine-Tuning (Full)"),
    ),
    LoraTypeRow(
        name="Diag-OFT",
        algorithm="diag-oft",
        summary="Rotates blocks of neurons; network_dim is the size of a block.",
        reads=_ROTATION,
        read_by=("ComfyUI",),
        needs_base=True,
    ),
    LoraTypeRow(
        name="BOFT",
        algorithm="boft",
        summary="Rotates by a product of butterfly matrices; network_dim is the largest factor, at least 10.",
        reads=_ROTATION,
        read_by=("ComfyUI",),
        needs_base=True,
    ),
)

LORA_TYPES: dict[str, LoraTypeRow] = {row.name: row for row in _ROWS}


def types_reading(setting: str) -> tuple[str, ...]:
    """Name the adapter types on which ``setting`` has an effect."""
    return tuple(row.name for row in _ROWS if setting in row.reads)
