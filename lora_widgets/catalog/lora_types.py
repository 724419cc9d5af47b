"""The eleven adapter types: their algorithm, and which settings each of them reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_RANK = frozenset({"network_dim", "network_alpha"})
_CONV = frozenset({"conv_dim", "conv_alpha"})


@dataclass(frozen=True)
class LoraTypeRow:
    """One adapter type.

    ``algorithm`` is the name under which adapter code knows it, ``arguments`` are fixed extras for it, and
    ``reads`` names the settings that shape it; any other structure setting has no effect with this type.
    """

    name: str
    algorithm: str
    summary: str
    reads: frozenset[str]
    arguments: Mapping[str, object] = field(default_factory=dict[str, object])
    active: bool = False
    aliases: tuple[str, ...] = ()


_ROWS = (
    LoraTypeRow(
        name="LoRA",
        algorithm="lora",
        summary="Two thin matrices beside every linear layer of the attention blocks. Loads everywhere.",
        reads=_RANK | {"network_dropout", "block_dims", "block_alphas", "dim_from_weights"},
        active=True,
    ),
    LoraTypeRow(
        name="LoCon",
        algorithm="locon",
        summary="LoRA that also adapts the convolutions, for textures and small details.",
        reads=_RANK
        | _CONV
        | {"network_dropout", "train_norm", "block_dims", "block_alphas", "dim_from_weights", "preset"},
    ),
    LoraTypeRow(
        name="LoKR",
        algorithm="lokr",
        summary="Kronecker product of a small and a large matrix: very small files.",
        reads=_RANK | _CONV | {"factor", "train_norm", "dim_from_weights", "preset"},
        aliases=("LoKr",),
    ),
    LoraTypeRow(
        name="DyLoRA",
        algorithm="dylora",
        summary="Trains all ranks up to network_dim at once, so that the file can be cut down afterwards.",
        reads=_RANK | _CONV | {"preset"},
    ),
    LoraTypeRow(
        name="DoRA",
        algorithm="locon",
        summary="Learns size and direction of the weights apart; strong at a low rank, and slower.",
        reads=_RANK | _CONV | {"train_norm", "dim_from_weights", "preset"},
        arguments={"dora_wd": True},
    ),
    LoraTypeRow(
        name="LoHa",
        algorithm="loha",
        summary="Elementwise product of two low-rank matrices: the rank is squared, 4 to 32 is enough.",
        reads=_RANK | _CONV | {"train_norm", "dim_from_weights", "preset"},
    ),
    LoraTypeRow(
        name="(IA)³",
        algorithm="ia3",
        summary="One factor per channel: tiny files, learning rates of 5e-3 to 1e-2.",
        reads=frozenset({"preset"}),
        aliases=("IA3", "(IA)3"),
    ),
    LoraTypeRow(
        name="GLoRA",
        algorithm="glora",
        summary="Generalised LoRA: adapts the weights by a product with themselves and by an offset.",
        reads=_RANK | _CONV | {"train_norm", "dim_from_weights", "preset"},
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
        reads=frozenset({"network_dim", "conv_dim", "train_norm", "dim_from_weights", "preset"}),
    ),
    LoraTypeRow(
        name="BOFT",
        algorithm="boft",
        summary="Rotates by a product of butterfly matrices; network_dim is the largest factor, at least 10.",
        reads=frozenset({"network_dim", "conv_dim", "train_norm", "dim_from_weights", "preset"}),
    ),
)

LORA_TYPES: dict[str, LoraTypeRow] = {row.name: row for row in _ROWS}


def types_reading(setting: str) -> tuple[str, ...]:
    """Name the adapter types on which ``setting`` has an effect."""
    return tuple(row.name for row in _ROWS if setting in row.reads)
