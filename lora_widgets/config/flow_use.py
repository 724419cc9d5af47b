"""Which settings of flow matching act with the others as they are; pure.

SD3 reads all that its form shows. Flux draws its strengths of noise in several ways, each with settings of
its own.
"""

from lora_widgets.catalog.flow import MODEL_PREDICTIONS, TIMESTEP_SAMPLINGS, WEIGHTING_SCHEMES
from lora_widgets.config.training_config import TrainingConfig


def sampling_reads(config: TrainingConfig, setting: str) -> bool:
    """Tell whether the strengths of noise are drawn by a setting."""
    return config.model_type != "Flux" or setting in TIMESTEP_SAMPLINGS[config.timestep_sampling].reads


def scheme_can_act(config: TrainingConfig) -> bool:
    """Tell whether any `weighting_scheme` would act."""
    return sampling_reads(config, "weighting_scheme") or errors_are_weighted(config)


def scheme_acts(config: TrainingConfig) -> bool:
    """Tell whether the chosen `weighting_scheme` acts."""
    if WEIGHTING_SCHEMES[config.weighting_scheme].weighs:
        return errors_are_weighted(config)
    return sampling_reads(config, "weighting_scheme")


def scheme_reads(config: TrainingConfig, setting: str) -> bool:
    """Tell whether a number belongs to the chosen `weighting_scheme`."""
    return setting in WEIGHTING_SCHEMES[config.weighting_scheme].reads


def errors_are_weighted(config: TrainingConfig) -> bool:
    """Tell whether some strengths of noise can weigh more than others."""
    return config.model_type != "Flux" or MODEL_PREDICTIONS[config.model_prediction_type].is_weighted
