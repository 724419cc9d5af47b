"""Why settings do nothing, in the words of the form: it greys them out."""

from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.config.fields import fields_by_name
from lora_widgets.config.idle import idle_settings
from lora_widgets.config.training_config import TrainingConfig

_OF_THE_TYPE = ("network_dim", "network_alpha")


def without_effect(config: TrainingConfig) -> dict[str, str]:
    """Return the reason for each setting that does nothing with the others as they are."""
    reads = LORA_TYPES[config.lora_type].reads
    reasons = {name: f"{config.lora_type} does not use it" for name in _OF_THE_TYPE if name not in reads}
    labels = {name: spec.label for name, spec in fields_by_name(TrainingConfig).items()}
    for name, idle in idle_settings(config):
        reasons.setdefault(name, idle.reason.format_map(labels))
    return reasons
