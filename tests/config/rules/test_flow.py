"""What is said about the settings of noise where the family is trained by flow matching."""

import pytest
from situations import BASE, config_of

from lora_widgets.config.findings import Severity, check

FLUX = {
    "model_type": "Flux",
    "mixed_precision": "bf16",
    "min_snr_gamma_enabled": False,
    "shuffle_caption": False,
    "train_batch_size": 1,
    "resolution": 1024,
    "clip_skip": 2,
}


def said(**changes):
    return check({**BASE, **FLUX, **changes}).findings


def test_the_recommended_settings_of_flux_give_no_finding():
    assert said() == ()


@pytest.mark.parametrize(
    "change",
    [
        {"zero_terminal_snr": True},
        {"scale_v_pred_loss_like_noise_pred": True},
        {"v_pred_like_loss": 0.5},
        {"debiased_estimation_loss": True},
        {"noise_offset": 0.5},
        {"noise_offset_random_strength": True},
        {"adaptive_noise_scale": 0.1},
        {"min_timestep": 500},
        {"max_token_length": 150},
        {"sample_sampler": "lms"},
        {"training_shift": 3.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_of_other_families_is_one_note_that_a_click_settles(change):
    (note,) = said(**change)
    assert note.severity is Severity.NOTE
    assert "has no effect: it acts only when `model_type` is" in note.message
    assert said(**{**change, **note.fix.changes}) == ()


@pytest.mark.parametrize(
    ("scheme", "act", "words"),
    [
        ("logit_normal", {"timestep_sampling": "sigma"}, "`timestep_sampling` sigma"),
        ("mode", {"timestep_sampling": "sigma"}, "`timestep_sampling` sigma"),
        ("cosmap", {"model_prediction_type": "sigma_scaled"}, "`model_prediction_type` sigma_scaled"),
        ("sigma_sqrt", {"model_prediction_type": "sigma_scaled"}, "`model_prediction_type` sigma_scaled"),
    ],
)
def test_a_scheme_that_flux_does_not_use_as_it_is_says_when_it_would(scheme, act, words):
    (note,) = said(weighting_scheme=scheme)
    assert note.message == f"`weighting_scheme` is {scheme}, but for Flux it acts only with {words}."
    assert not [f for f in said(weighting_scheme=scheme, **act) if "weighting_scheme" in f.settings]


@pytest.mark.parametrize("sampling", ["shift", "sigma"])
def test_a_shift_that_acts_is_no_finding(sampling):
    assert said(timestep_sampling=sampling, discrete_flow_shift=3.0) == ()


def test_perturbation_is_not_for_sd3():
    config = config_of({**FLUX, "model_type": "SD3", "ip_noise_gamma_enabled": True, "ip_noise_gamma": 0.5})
    found = [f for f in check(dict(config)).findings if "ip_noise_gamma_enabled" in f.settings]
    assert [f.severity for f in found] == [Severity.NOTE]
    assert "acts only when `model_type` is SD1.5, SDXL or Flux" in found[0].message


@pytest.mark.parametrize(
    ("resolution", "is_error"), [("1024,1040", False), ("1000", True), ("1024,1000", True)]
)
def test_sides_without_buckets_must_be_whole_patches(resolution, is_error):
    errors = [f for f in said(enable_bucket=False, resolution=resolution) if f.severity is Severity.ERROR]
    assert bool(errors) == is_error
