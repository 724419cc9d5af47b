"""One piece of an adapter before it is made: what it attaches to, its type and its size."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from lora_widgets.adapters.targets import Target


@dataclass(frozen=True)
class Options:
    """The finer settings of the types, by the names of ``config.lora``; each type reads its own."""

    factor: int = -1
    use_tucker: bool = False
    use_scalar: bool = False
    rs_lora: bool = False
    dora_wd: bool = False
    wd_on_output: bool = True
    decompose_both: bool = False
    full_matrix: bool = False
    unbalanced_factorization: bool = False
    block_size: int = 4
    constraint: float = 0.0
    rescaled: bool = False
    train_on_input: bool = False


@dataclass(frozen=True)
class Part:
    """``algorithm`` is the name in the catalog; ``rank`` and ``alpha`` are those of this layer."""

    target: Target
    algorithm: str
    rank: int
    alpha: float
    options: Options = Options()

    @property
    def scale(self) -> float:
        """What a low-rank product is multiplied with; by the root of the rank with ``rs_lora``."""
        return self.alpha / (self.rank**0.5 if self.options.rs_lora else self.rank)


def scale_of(tensors: Mapping[str, Tensor], *, rank: int) -> float:
    """Return what a file multiplies a low-rank product with: alpha / rank, and 1 without an alpha."""
    return float(tensors["alpha"]) / rank if "alpha" in tensors else 1.0
