"""Putting the adapter a configuration asks for into a family's loaded parts."""

from typing import Any

import torch

from lora_widgets.adapters.adapter import Adapter
from lora_widgets.adapters.dropout import DropoutClock
from lora_widgets.adapters.lora import LoRAModule, LoRASettings
from lora_widgets.adapters.targets import targets
from lora_widgets.errors import ModelError
from lora_widgets.families.family import Family


def attach(family: Family, config: Any, *, generator: torch.Generator) -> Adapter:
    """Attach a fresh adapter, which changes nothing yet, to the parts that train; weights are float32.

    ``generator`` draws the start values. The parts must be loaded.

    Raises:
        ModelError: nothing is to be trained, or a part has no module to adapt.
    """
    components = [name for name in ("unet", *family.text_encoders) if name in config.trained_components]
    if not components:
        raise ModelError(
            "Nothing would be trained: `unet_lr` and `text_encoder_lr` are both 0. Set one of them above 0."
        )
    settings = LoRASettings(
        rank=config.network_dim,
        alpha=config.alpha,
        dropout=config.network_dropout,
        clock=DropoutClock(config.seed),
    )
    roots, modules, count = family.roots(), {}, 0
    for component in components:
        found = targets(roots[component])
        if not found:
            raise ModelError(
                f"The {component} of the model in `pretrained_model_name_or_path` has no layer that LoRA can "
                f"adapt. Use a {family.name} model."
            )
        modules[component] = [
            LoRAModule(target, settings, index=count + i, generator=generator)
            for i, target in enumerate(found)
        ]
        count += len(found)
    adapter = Adapter(modules, clock=settings.clock)
    adapter.put_in_place()
    return adapter
