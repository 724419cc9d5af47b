"""Putting the adapter a configuration asks for into a family's loaded parts."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from lora_widgets.adapters.adapted import AdaptedTarget, Maths
from lora_widgets.adapters.adapter import Adapter
from lora_widgets.adapters.dropout import Dropout, DropoutClock, DropoutRates
from lora_widgets.adapters.dylora import DyLoRA
from lora_widgets.adapters.lora import LowRank
from lora_widgets.adapters.part import Part
from lora_widgets.adapters.plan import parts_of, too_large
from lora_widgets.errors import ModelError
from lora_widgets.families.family import Family

MATHS: dict[str, Callable[..., Maths]] = {"lora": LowRank, "locon": LowRank, "dylora": DyLoRA}
"""The types whose mathematics is ours; that of the others is in lycoris."""


def attach(
    family: Family,
    config: Any,
    *,
    generator: torch.Generator,
    sizes: Mapping[str, Tensor] | None = None,
) -> Adapter:
    """Attach a fresh adapter, which changes nothing yet, to the parts that train; weights are float32.

    ``generator`` draws the start values. ``sizes`` are the tensors of a file whose layers and ranks it takes
    (``dim_from_weights``). The parts must be loaded.

    Raises:
        ModelError: nothing is to be trained, no layer is chosen, or a size cannot be.
    """
    components = [name for name in ("unet", *family.text_encoders) if name in config.trained_components]
    if not components:
        raise ModelError(
            "Nothing would be trained: `unet_lr` and `text_encoder_lr` are both 0. Set one of them above 0."
        )
    roots = family.roots()
    parts = {name: parts_of(roots[name], name, config, sizes=sizes) for name in components}
    _refuse_nothing(parts, config, family.name)
    clock = DropoutClock(config.seed)
    modules, count = {}, 0
    for component, found in parts.items():
        modules[component] = [
            _adapted(part, clock, config, index=count + i, generator=generator)
            for i, part in enumerate(found)
        ]
        count += len(found)
    everything = [part for found in parts.values() for part in found]
    adapter = Adapter(modules, clock=clock, notes=too_large(everything))
    adapter.put_in_place()
    return adapter


def _adapted(
    part: Part, clock: DropoutClock, config: Any, *, index: int, generator: torch.Generator
) -> AdaptedTarget:
    rates = DropoutRates(config.network_dropout, config.rank_dropout, config.module_dropout)
    dropout = Dropout(clock, rates, index=index)
    make = MATHS.get(part.algorithm) or _lycoris_maths()
    return AdaptedTarget(part, make(part, dropout, generator=generator), dropout)


def _lycoris_maths() -> Callable[..., Maths]:
    from lora_widgets.adapters.lycoris_modules import LycorisMaths

    return LycorisMaths


def _refuse_nothing(parts: Mapping[str, list[Part]], config: Any, family: str) -> None:
    """Raise where a part that should learn has no layer for it."""
    for component, found in parts.items():
        is_text = component != "unet"
        if found or (is_text and config.preset and any(parts.values())):
            continue
        if config.preset or config.block_dims or config.dim_from_weights:
            rate = "text_encoder_lr" if is_text else "unet_lr"
            cause = "preset" if config.preset else "block_dims" if config.block_dims else "dim_from_weights"
            raise ModelError(
                f"`{cause}` is {getattr(config, cause)!r}, which chooses no layer of the {component} of this "
                f"{family} model. Choose other layers, or set `{rate}` to 0."
            )
        raise ModelError(
            f"The {component} of the model in `pretrained_model_name_or_path` has no layer that "
            f"{config.lora_type} can adapt. Use a {family} model."
        )
