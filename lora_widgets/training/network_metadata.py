"""What a LoRA file says about its arithmetic, in the names by which kohya's trainer would make it."""

import json

from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.config.training_config import TrainingConfig

_KOHYA = {
    "SD1.5": "networks.lora",
    "SDXL": "networks.lora",
    "Flux": "networks.lora_flux",
    "SD3": "networks.lora_sd3",
}
_NOT_ARGUMENTS = {"network_dim", "network_alpha", "network_dropout", "dim_from_weights", "scale_weight_norms"}
_LYCORIS_NAMES = {"dora": "locon"}


def describe_network(config: TrainingConfig) -> dict[str, str]:
    """Return module, size and arguments; readers tell the type from the module and its ``algo``."""
    row = LORA_TYPES[config.lora_type]
    arguments = {
        name: str(getattr(config, name))
        for name in sorted(row.reads - _NOT_ARGUMENTS)
        if getattr(config, name) != type(config).model_fields[name].default
    }
    arguments |= {name: str(value) for name, value in row.arguments.items()}
    arguments |= {f"loraplus_{name}_lr_ratio": str(ratio) for name, ratio in config.loraplus_ratios.items()}
    if row.algorithm in ("lora", "dylora"):
        module = _KOHYA[config.model_type] if row.algorithm == "lora" else "networks.dylora"
    else:
        module = "lycoris.kohya"
        arguments["algo"] = _LYCORIS_NAMES.get(row.algorithm, row.algorithm)
        sizes = {"conv_dim": config.conv_dim, "conv_alpha": config.conv_alpha}
        arguments |= {name: str(value) for name, value in sizes.items() if name in row.reads}
    described = {
        "ss_network_module": module,
        "ss_network_dim": config.network_dim,
        "ss_network_alpha": config.alpha,
        "ss_network_dropout": config.network_dropout or None,
        "ss_network_args": json.dumps(arguments),
        "ss_scale_weight_norms": config.scale_weight_norms or None,
    }
    return {key: str(value) for key, value in described.items()}
