"""How the frozen weights of a denoiser are kept: as they compute, or in fewer bits."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BaseWeightsRow:
    """One way to keep the large linear layers.

    ``bytes_per_number`` counts scales too, 0 means as many as the number format of the computation has;
    ``package`` is what it needs beside torch.
    """

    name: str
    summary: str
    bytes_per_number: float
    package: str = ""
    aliases: tuple[str, ...] = ()


_ROWS = (
    BaseWeightsRow("dense", "As they compute: exact and fastest.", 0, aliases=("none", "full")),
    BaseWeightsRow("fp8", "Eight bits with an exponent, and a scale for each row.", 1, aliases=("float8",)),
    BaseWeightsRow("int8", "Eight bits in even steps, and a scale for each row.", 1, aliases=("8bit",)),
    BaseWeightsRow(
        "nf4",
        "Four bits, and a scale for each 64 numbers (Dettmers 2023, arXiv:2305.14314).",
        0.5625,
        package="bitsandbytes",
        aliases=("4bit",),
    ),
)

BASE_WEIGHTS: dict[str, BaseWeightsRow] = {row.name: row for row in _ROWS}
