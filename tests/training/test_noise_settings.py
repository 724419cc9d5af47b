"""What the form shows of noise and loss acts on the loss, and what it hides or greys out does not."""

import pytest
import torch

from lora_widgets.catalog.flow import TIMESTEP_SAMPLINGS, WEIGHTING_SCHEMES
from lora_widgets.config.fields import fields
from lora_widgets.config.findings import Severity, check
from lora_widgets.config.noise import FlowMatching, NoiseAndLoss
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.diffusion.flow import sigmas_by_size
from lora_widgets.families.flow_schedule import flux_process, sd3_process
from lora_widgets.families.noise_schedule import noise_process
from lora_widgets.training.loss import diffusion_loss, draw_noise
from lora_widgets.widgets.view import field_views

pytestmark = pytest.mark.any_libraries
REQUIRED = {
    "project_name": "cat",
    "pretrained_model_name_or_path": "owner/name",
    "train_data_dir": "pictures",
    "output_dir": "out",
}
OF_THE_MODEL = ("guidance_scale", "pos_emb_random_crop_rate")
"""Settings that act inside the transformer; the tests of Flux and SD3 try them."""
SPECS = [spec for spec in fields(TrainingConfig) if spec.section in ("NoiseAndLoss", "FlowMatching")]
MODES = [
    {"model_type": "SDXL"},
    {"model_type": "SD1.5", "v_parameterization": True, "noise_offset": 0.1},
    {"model_type": "SD1.5", "multinoise": True, "ip_noise_gamma_enabled": True},
    {"model_type": "SD3", "multinoise": True, "ip_noise_gamma_enabled": True},
    *({"model_type": "SD3", "weighting_scheme": scheme} for scheme in WEIGHTING_SCHEMES),
    {"model_type": "Flux", "ip_noise_gamma_enabled": True},
    *({"model_type": "Flux", "timestep_sampling": sampling} for sampling in TIMESTEP_SAMPLINGS),
    {"model_type": "Flux", "timestep_sampling": "sigma", "weighting_scheme": "logit_normal"},
    {"model_type": "Flux", "timestep_sampling": "sigma", "weighting_scheme": "mode"},
    {"model_type": "Flux", "model_prediction_type": "sigma_scaled"},
]


def process_of(config):
    if config.model_type == "Flux":
        return flux_process(config, timetable=sigmas_by_size)
    return sd3_process(config, shift=3.0) if config.model_type == "SD3" else noise_process({}, config)


def losses(config):
    """Return the losses of a few batches; ``config`` decides all that differs."""
    process, found = process_of(config), []
    latents = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(3)) + 0.2
    for seed in range(3):
        drawn = draw_noise(latents, process, config, generator=torch.Generator().manual_seed(seed))
        found.append(diffusion_loss(latents, drawn, guess, process=process, settings=config).item())
    return found


def guess(noisy, times):
    return 0.3 * noisy + times.view(-1, 1, 1, 1) / 10_000


def other_values(spec):
    if spec.type is bool:
        return [not spec.default]
    if spec.choices:
        return [name for name in spec.choices if name != spec.default]
    return {"min_timestep": [300], "max_timestep": [400]}.get(spec.name, [3 if spec.type is int else 0.7])


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: " ".join(map(str, mode.values())))
def test_a_setting_of_noise_acts_where_it_is_shown_and_nowhere_else(mode):
    draft = check({**REQUIRED, **mode})
    views, base = field_views(draft), losses(draft.config)
    for spec in SPECS:
        if spec.name in mode or spec.name in OF_THE_MODEL:
            continue
        changed = [draft.config.with_changes(**{spec.name: value}) for value in other_values(spec)]
        acts = any(losses(config) != base for config in changed)
        assert acts == (views[spec.name].visible and views[spec.name].enabled), spec.name


def test_these_are_all_settings_of_noise():
    assert len(SPECS) == len(fields(NoiseAndLoss)) + len(fields(FlowMatching))


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: " ".join(map(str, mode.values())))
def test_what_does_not_act_is_told_once_it_is_changed(mode):
    base = check({**REQUIRED, **mode})
    for spec in SPECS:
        for value in other_values(spec):
            draft = check({**REQUIRED, **mode, spec.name: value})
            if spec.name in mode or value is False or losses(draft.config) != losses(base.config):
                continue
            told = [
                finding
                for finding in draft.findings
                if spec.name in finding.settings
                if finding.severity is Severity.ERROR
                or "effect" in finding.message
                or "acts" in finding.message
            ]
            assert told or spec.name in OF_THE_MODEL, (spec.name, value)
