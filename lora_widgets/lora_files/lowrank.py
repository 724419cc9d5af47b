"""Low-rank modules: how much of their change a smaller rank keeps, and the matrices of that rank."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_widgets.errors import ConfigError
from lora_widgets.lora_files.fusing import LOW_RANK, strength

Tensors = dict[str, Tensor]
_ROUNDING = 1e-7


@dataclass(frozen=True)
class Keep:
    """What is kept of a change: at most ``rank`` ranks, and no more than the other rules ask for.

    ``norm_share`` asks for enough of them to have this share of its norm, ``ratio`` for those whose singular
    value is at least the largest one divided by it. They are sd-scripts' sv_fro and sv_ratio.
    """

    rank: int | None = None
    norm_share: float | None = None
    ratio: float | None = None

    def __post_init__(self) -> None:
        """Refuse what keeps nothing, or says nothing."""
        if self.rank is None and self.norm_share is None and self.ratio is None:
            raise ConfigError("Nothing says how much to keep. Give a rank, a share of the norm, or a ratio.")
        if self.rank is not None and self.rank < 1:
            raise ConfigError(f"The rank is {self.rank}, but it must be at least 1.")
        if self.norm_share is not None and not 0 < self.norm_share <= 1:
            raise ConfigError(f"The share is {self.norm_share:g}, but it must be above 0 and at most 1.")
        if self.ratio is not None and self.ratio < 1:
            raise ConfigError(f"The ratio is {self.ratio:g}, but it must be at least 1.")

    def rank_for(self, values: Tensor) -> int:
        """Return how many of the singular ``values``, largest first, are kept: at least one."""
        kept = len(values)
        if self.rank is not None:
            kept = min(kept, self.rank)
        if self.norm_share is not None:
            kept = min(kept, _rank_of_share(values, self.norm_share))
        if self.ratio is not None:
            kept = min(kept, int((values * self.ratio >= values[0]).sum()))
        return max(kept, 1)


@dataclass(frozen=True)
class LowRank:
    """Matrices of a rank, and the share of the norm of what they stand for that they keep."""

    tensors: Tensors
    rank: int
    share: float


def is_low_rank(tensors: Mapping[str, Tensor]) -> bool:
    """Say whether tensors are those of LoRA, LoCon or DyLoRA, with or without a core and a bias."""
    matrices = {"lora_down.weight", "lora_up.weight"}
    return matrices <= tensors.keys() <= LOW_RANK | {"lora_mid.weight", "diff_b"}


def without_core(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the same change with the core of a convolution multiplied into ``lora_down``."""
    found = dict(tensors)
    if (core := found.pop("lora_mid.weight", None)) is not None:
        down = found["lora_down.weight"].float().flatten(1)
        found["lora_down.weight"] = torch.einsum("mn...,nj->mj...", core.float(), down)
    return found


def resized(tensors: Mapping[str, Tensor], keep: Keep) -> LowRank:
    """Return a low-rank module with as many ranks as ``keep`` says; its type is that of the tensors given.

    The singular values come from the small matrices alone (of QR), so the change itself is never made.
    """
    plain = without_core(tensors)
    down, up = plain["lora_down.weight"], plain["lora_up.weight"]
    up_basis, up_rest = torch.linalg.qr(up.double().flatten(1))
    down_basis, down_rest = torch.linalg.qr(down.double().flatten(1).T)
    left, values, right = torch.linalg.svd(up_rest @ down_rest.T * strength(plain))
    return _cut(up_basis @ left, values, right @ down_basis.T, keep, like=(down, up))


def from_change(change: Tensor, keep: Keep) -> LowRank:
    """Return the low-rank module nearest to the change (rows, inputs, ...) of a weight, in float32."""
    left, values, right = _singular(change.double().flatten(1))
    kernel = change.shape[2:]
    down = torch.empty(1, *change.shape[1:], dtype=torch.float32)
    up = torch.empty(len(change), 1, *[1] * len(kernel), dtype=torch.float32)
    return _cut(left, values, right, keep, like=(down, up))


def _singular(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the left vectors, values and right vectors of a matrix in float64, the largest value first.

    They come from the product of the matrix with itself, in a tenth of the time that a decomposition takes.
    That is exact down to 1e-8 of the largest value; below 1e-7 of it is what rounding to float32 made, which
    is left out.
    """
    if matrix.shape[0] > matrix.shape[1]:
        right, values, left = _singular(matrix.T)
        return left.T, values, right.T
    squares, vectors = torch.linalg.eigh(matrix @ matrix.T)
    values = squares.flip(0).clamp_min(0).sqrt()
    count = max(1, int((values > _ROUNDING * values[0]).sum()))
    values, left = values[:count], vectors.flip(1)[:, :count]
    return left, values, (left.T @ matrix) / values.clamp_min(torch.finfo(values.dtype).tiny)[:, None]


def _cut(left: Tensor, values: Tensor, right: Tensor, keep: Keep, *, like: tuple[Tensor, Tensor]) -> LowRank:
    """Keep the first ranks; each matrix takes the root of the values, so that neither is small."""
    down, up = like
    rank, root = keep.rank_for(values), values.sqrt()
    total = float(values.square().sum())
    share = (float(values[:rank].square().sum()) / total) ** 0.5 if total else 1.0
    tensors = {
        "lora_down.weight": (root[:rank, None] * right[:rank]).reshape(rank, *down.shape[1:]).to(down.dtype),
        "lora_up.weight": (left[:, :rank] * root[:rank]).reshape(len(up), rank, *up.shape[2:]).to(up.dtype),
        "alpha": torch.tensor(float(rank)),
    }
    return LowRank(tensors, rank, share)


def _rank_of_share(values: Tensor, share: float) -> int:
    squares = values.double().square().cumsum(0)
    if not squares[-1]:
        return 1
    # What rounding takes from a share of 1 must not cost a rank more, nor a share a rank less.
    reached = squares / squares[-1] >= share**2 * (1 - 1e-12)
    return int(reached.int().argmax()) + 1
