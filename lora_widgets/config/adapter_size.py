"""How many numbers each type of adapter trains beside a layer, from the layer's shape. Pure.

The shapes are those of ``adapters.lora``, ``adapters.dylora`` and LyCORIS' modules (Yeh et al. 2023,
arXiv:2309.14859); a test holds them against adapters that are made.
"""

from collections.abc import Callable, Iterable
from functools import cache
from math import isqrt, log2, prod
from typing import Any

from lora_widgets.config.adapter_plan import LayerPlan, Options, choice_for, is_chosen, options_for, planned
from lora_widgets.config.facts import LayerFacts
from lora_widgets.config.layer_presets import layers_of

Shape = tuple[int, ...]


def adapter_numbers(config: Any, layers: Iterable[LayerFacts]) -> int:
    """Return how many numbers the adapter trains that settings ask for, of a model with these layers.

    Raises:
        ConfigError: the preset is none.
        ValueError, IndexError: a list for blocks is wrong.
    """
    preset = layers_of(config.preset, lora_type=config.lora_type)
    choices = {name: choice_for(name, config, preset) for name in config.trained_components}
    options, count = options_for(config), 0
    for layer in layers:
        choice = choices.get(layer.component)
        if (
            choice is None
            or (layer.is_norm and not choice.norms)
            or (layer.has_kernel and not choice.kernels)
        ):
            continue
        if is_chosen(layer.path, layer.blocks, choice):
            plan = planned(layer, config, preset, options)
            count += trained_numbers(plan, layer.shape, has_bias=layer.has_bias)
    return count


def trained_numbers(plan: LayerPlan, shape: Shape, *, has_bias: bool) -> int:
    """Return how many numbers train beside a layer with a weight of ``shape`` (rows, columns, *kernel).

    A norm's shape is (channels,).
    """
    if plan.rank <= 0:
        return 0
    if plan.algorithm == "norm":
        return 2 * shape[0]
    if plan.algorithm == "full":
        return prod(shape) + (shape[0] if has_bias else 0)
    return _COUNTS[plan.algorithm](shape, plan.rank, plan.options)


def _low_rank(shape: Shape, rank: int, options: Options) -> int:
    rows, columns, *kernel = shape
    area = prod(kernel)
    if options.use_tucker and area > 1:
        return rank * (rows + columns) + rank * rank * area + options.use_scalar
    return rank * (rows + columns * area) + options.use_scalar


def _dora(shape: Shape, rank: int, options: Options) -> int:
    return _low_rank(shape, rank, options) + _sizes_of_directions(shape, options)


def _sizes_of_directions(shape: Shape, options: Options) -> int:
    if not options.dora_wd:
        return 0
    return shape[0] if options.wd_on_output else shape[1]


def _loha(shape: Shape, rank: int, options: Options) -> int:
    both = 2 * _low_rank(shape, rank, options) - options.use_scalar
    return both + _sizes_of_directions(shape, options)


def _lokr(shape: Shape, rank: int, options: Options) -> int:
    """Two Kronecker factors, each whole, or a product where the rank is small beside it."""
    rows, columns, *kernel = shape
    area, (small_in, large_in) = prod(kernel), factors(columns, options.factor)
    small_out, large_out = factors(rows, options.factor)
    if options.unbalanced_factorization:
        small_out, large_out = large_out, small_out
    first = small_out * small_in
    if options.decompose_both and not options.full_matrix and rank < max(small_out, small_in) / 2:
        first = rank * (small_out + small_in)
    second = large_out * large_in * area
    if not options.full_matrix and rank < max(large_out, large_in) / 2:
        core = rank * rank * area if options.use_tucker and area > 1 else 0
        second = rank * (large_out + large_in * (1 if core else area)) + core
    return first + second + options.use_scalar + _sizes_of_directions(shape, options)


def _glora(shape: Shape, rank: int, options: Options) -> int:
    return 2 * rank * shape[1] + _low_rank(shape, rank, options)


def _ia3(shape: Shape, _rank: int, options: Options) -> int:
    return shape[1] if options.train_on_input else shape[0]


def _diag_oft(shape: Shape, rank: int, options: Options) -> int:
    size, count = factors(shape[0], rank)
    return count * size * size + options.rescaled * shape[0]


def _boft(shape: Shape, rank: int, options: Options) -> int:
    """As many butterflies as it has levels; 0 where no block divides the rows, which attaching refuses."""
    rows = shape[0]
    sizes = [size for size in range(2, rank + 1, 2) if rows % size == 0 and _is_power_of_2(rows // size)]
    if not sizes:
        return 0
    levels = int(log2(rows // sizes[-1])) + 1
    return levels * rows * sizes[-1] + options.rescaled * rows


@cache
def factors(size: int, wanted: int) -> tuple[int, int]:
    """Divide a size into two factors, the smaller first, and that one at most ``wanted`` (-1: any).

    What LyCORIS' ``factorization`` returns: a ``wanted`` that divides it is taken as it is.
    """
    if wanted > 0 and size % wanted == 0:
        return min(wanted, size // wanted), max(wanted, size // wanted)
    most = isqrt(size) if wanted < 0 else min(wanted, isqrt(size))
    small = next(factor for factor in range(most, 0, -1) if size % factor == 0)
    return small, size // small


def _is_power_of_2(number: int) -> bool:
    return number & (number - 1) == 0


_COUNTS: dict[str, Callable[[Shape, int, Options], int]] = {
    "lora": _low_rank,
    "locon": _low_rank,
    "dylora": _low_rank,
    "dora": _dora,
    "loha": _loha,
    "lokr": _lokr,
    "glora": _glora,
    "ia3": _ia3,
    "diag-oft": _diag_oft,
    "boft": _boft,
}
