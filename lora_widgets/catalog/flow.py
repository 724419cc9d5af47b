"""How flow matching chooses the strengths of noise (sigma) that it trains, and which of them count more."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TimestepSamplingRow:
    """One way to draw sigma, from 0 (no noise) to 1 (nothing else); ``reads`` are settings that act on it."""

    name: str
    summary: str
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class WeightingSchemeRow:
    """One way to let some sigma count more than others.

    It lets them come more often, or ``weighs`` their errors; ``reads`` are settings that act on it.
    """

    name: str
    summary: str
    reads: tuple[str, ...] = ()
    weighs: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelPredictionRow:
    """One way to read what the model answers; ``is_weighted`` tells whether a scheme can weigh its error."""

    name: str
    summary: str
    is_weighted: bool = False


MODEL_PREDICTIONS: dict[str, ModelPredictionRow] = {
    row.name: row
    for row in (
        ModelPredictionRow("raw", "The answer is the velocity, as Flux was trained."),
        ModelPredictionRow("additive", "The noisy picture is added to the answer."),
        ModelPredictionRow(
            "sigma_scaled", "The answer becomes the clean picture, and is weighted.", is_weighted=True
        ),
    )
}
TIMESTEP_SAMPLINGS: dict[str, TimestepSamplingRow] = {
    row.name: row
    for row in (
        TimestepSamplingRow("uniform", "Every strength comes equally often."),
        TimestepSamplingRow("sigmoid", "Middle strengths come more often.", reads=("sigmoid_scale",)),
        TimestepSamplingRow(
            "shift",
            "As sigmoid, moved towards strong noise by discrete_flow_shift.",
            reads=("sigmoid_scale", "discrete_flow_shift"),
        ),
        TimestepSamplingRow(
            "flux_shift",
            "As shift, by as much as the size of the picture asks for.",
            reads=("sigmoid_scale",),
        ),
        TimestepSamplingRow(
            "sigma",
            "From the model's table of 1000 strengths, by weighting_scheme.",
            reads=("discrete_flow_shift", "weighting_scheme"),
        ),
    )
}
WEIGHTING_SCHEMES: dict[str, WeightingSchemeRow] = {
    row.name: row
    for row in (
        WeightingSchemeRow("uniform", "No strength is preferred.", aliases=("none",)),
        WeightingSchemeRow(
            "logit_normal",
            "Middle strengths come more often, in a bell curve of the logit.",
            reads=("logit_mean", "logit_std"),
        ),
        WeightingSchemeRow("mode", "Middle strengths come more often, by mode_scale.", reads=("mode_scale",)),
        WeightingSchemeRow("cosmap", "Middle strengths weigh more.", weighs=True),
        WeightingSchemeRow("sigma_sqrt", "Weak noise weighs more, by one over sigma squared.", weighs=True),
    )
}
