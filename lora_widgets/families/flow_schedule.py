"""The noise process of a family that is trained by flow matching, as the settings ask for it."""

from functools import partial

import torch
from torch import Tensor

from lora_widgets.config.noise import FlowMatching
from lora_widgets.diffusion.flow import (
    NUM_TIMES,
    Density,
    FlowProcess,
    FluxTimes,
    SD3Times,
    Timetable,
    clean_weight,
    scheme_weight,
    twice_shifted_sigmas,
)


def flux_process(settings: FlowMatching, *, timetable: Timetable) -> FlowProcess:
    """Return how Flux is trained; ``timetable`` is that of its variant, dev or schnell.

    As in kohya's trainer, a scheme weighs errors only where the output is taken for the clean picture.
    """
    times = FluxTimes(
        settings.timestep_sampling,  # pyright: ignore[reportArgumentType] - a name of the catalog
        sigmoid_scale=settings.sigmoid_scale,
        shift=settings.discrete_flow_shift,
        density=_density(settings),
    )
    is_clean = settings.model_prediction_type == "sigma_scaled"
    return FlowProcess(
        times,
        weight_of=partial(_finite_weight, scheme=settings.weighting_scheme) if is_clean else None,
        output=settings.model_prediction_type,  # pyright: ignore[reportArgumentType] - a name of the catalog
        timetable=timetable,
        can_be_perturbed=True,
    )


def sd3_process(settings: FlowMatching, *, shift: float) -> FlowProcess:
    """Return how SD3 is trained; ``shift`` is that of its sampler.

    The error of the clean picture is weighed, as in kohya's trainer, which knows no input perturbation.
    """
    return FlowProcess(
        SD3Times(settings.training_shift, _density(settings)),
        weight_of=partial(clean_weight, scheme=settings.weighting_scheme),  # pyright: ignore[reportArgumentType]
        output="raw",
        timetable=lambda steps, _: twice_shifted_sigmas(steps, shift),
        can_be_perturbed=False,
    )


def _density(settings: FlowMatching) -> Density:
    return Density(
        settings.weighting_scheme,  # pyright: ignore[reportArgumentType] - a name of the catalog
        logit_mean=settings.logit_mean,
        logit_std=settings.logit_std,
        mode_scale=settings.mode_scale,
    )


def _finite_weight(sigmas: Tensor, *, scheme: str) -> Tensor:
    """Weigh as ``scheme_weight``, sigmas below the first of 1000 as that one, so that 0 has a weight too."""
    return scheme_weight(torch.clamp(sigmas, min=1 / NUM_TIMES), scheme)  # pyright: ignore[reportArgumentType]
