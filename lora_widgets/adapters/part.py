"""One piece of an adapter before it is made: what it attaches to, its type and its size."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from lora_widgets.adapters.targets import Target
from lora_widgets.config.adapter_plan import Options


@dataclass(frozen=True)
class Part:
    """``algorithm`` is the name in the catalog; ``rank`` and ``alpha`` are those of this layer."""

    target: Target
    algorithm: str
    rank: int
    alpha: float
    options: Options = field(default_factory=Options)

    @property
    def scale(self) -> float:
        """What a low-rank product is multiplied with; by the root of the rank with ``rs_lora``."""
        return self.alpha / (self.rank**0.5 if self.options.rs_lora else self.rank)


def scale_of(tensors: Mapping[str, Tensor], *, rank: int) -> float:
    """Return what a file multiplies a low-rank product with: alpha / rank, and 1 without an alpha."""
    return float(tensors["alpha"]) / rank if "alpha" in tensors else 1.0
