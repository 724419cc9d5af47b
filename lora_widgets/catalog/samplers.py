"""The samplers for preview pictures: a diffusers scheduler class and its arguments for each name."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SamplerRow:
    """One sampler name; ``package`` is what the scheduler needs beside diffusers, or empty."""

    name: str
    import_path: str
    arguments: Mapping[str, object] = field(default_factory=dict[str, object])
    package: str = ""


def _row(name: str, scheduler: str, *, package: str = "", **arguments: object) -> SamplerRow:
    return SamplerRow(
        name=name, import_path=f"diffusers.{scheduler}", arguments=dict(arguments), package=package
    )


_ROWS = (
    # clip_sample clamps predicted latents to [-1, 1], which is meant for pixels.
    _row("ddim", "DDIMScheduler", clip_sample=False),
    _row("pndm", "PNDMScheduler"),
    _row("lms", "LMSDiscreteScheduler", package="scipy"),
    _row("euler", "EulerDiscreteScheduler"),
    _row("euler_a", "EulerAncestralDiscreteScheduler"),
    _row("heun", "HeunDiscreteScheduler", clip_sample=False),
    _row("dpm_2", "KDPM2DiscreteScheduler"),
    _row("dpm_2_a", "KDPM2AncestralDiscreteScheduler"),
    # diffusers refuses plain dpmsolver with its own default of final_sigmas_type="zero".
    _row(
        "dpmsolver", "DPMSolverMultistepScheduler", algorithm_type="dpmsolver", final_sigmas_type="sigma_min"
    ),
    _row("dpmsolver++", "DPMSolverMultistepScheduler", algorithm_type="dpmsolver++"),
    # Without lower_order_final diffusers turns it on by itself and prints that it did.
    _row("dpmsingle", "DPMSolverSinglestepScheduler", lower_order_final=True),
    _row("k_lms", "LMSDiscreteScheduler", package="scipy"),
    _row("k_euler", "EulerDiscreteScheduler"),
    _row("k_euler_a", "EulerAncestralDiscreteScheduler"),
    _row("k_dpm_2", "KDPM2DiscreteScheduler"),
    _row("k_dpm_2_a", "KDPM2AncestralDiscreteScheduler"),
)

SAMPLERS: dict[str, SamplerRow] = {row.name: row for row in _ROWS}
