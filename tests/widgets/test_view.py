"""Tests of lora_widgets/widgets/view.py and without_effect.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from setting_values import REQUIRED, SPECS

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.config.facts import Facts
from lora_widgets.config.findings import Severity, check
from lora_widgets.config.idle import IDLE
from lora_widgets.config.rules.rule import RULES
from lora_widgets.config.tabs import Tab
from lora_widgets.widgets.view import FieldView, field_views, tab_errors


def views_of(facts=None, **values):
    return field_views(check({**REQUIRED, **values}, facts))


def test_every_setting_has_a_view():
    assert list(views_of()) == [spec.name for spec in SPECS]


@pytest.mark.parametrize(("family", "shown"), [("SD1.5", 0), ("SDXL", 0), ("Flux", 2), ("SD3", 3)])
def test_paths_of_text_encoders_appear_for_the_families_that_have_them(family, shown):
    views = views_of(model_type=family)
    assert sum(views[name].visible for name in ("clip_l_path", "clip_g_path", "t5xxl_path")) == shown


def test_a_value_behind_a_switch_appears_with_it():
    assert not views_of(min_snr_gamma_enabled=False)["min_snr_gamma"].visible
    assert views_of(min_snr_gamma_enabled=True)["min_snr_gamma"].visible


def test_an_invalid_value_is_never_hidden():
    view = views_of(min_snr_gamma_enabled=False, min_snr_gamma="five")["min_snr_gamma"]
    assert view.visible
    assert "must be a number" in view.error


def test_the_error_tells_what_to_do():
    assert views_of(train_batch_size="0")["train_batch_size"] == FieldView(
        error="`train_batch_size` is '0', but must be at least 1. "
        "Set it to a value at least 1 and at most 4096. The default is 4."
    )


def test_a_missing_path_is_an_error_of_its_field():
    assert "nothing is there" in views_of(Facts(missing_paths=("vae_path",)), vae_path="x")["vae_path"].error


def test_settings_that_do_not_go_together_are_no_error_of_a_field_but_stay_usable():
    values = {"cache_text_encoder_outputs": True, "shuffle_caption": True, "model_type": "SD1.5"}
    draft = check({**REQUIRED, **values, "caption_tag_dropout_rate": 0.1})
    assert draft.errors
    views = field_views(draft)
    for name in ("cache_text_encoder_outputs", "shuffle_caption", "caption_tag_dropout_rate"):
        assert views[name] == FieldView()


def test_settings_of_later_versions_are_greyed_out():
    view = views_of()["log_with"]
    assert (view.visible, view.enabled, view.reason) == (True, False, "not active yet")


def test_an_invalid_value_of_such_a_setting_can_still_be_corrected():
    view = views_of(max_token_length="long")["max_token_length"]
    assert view.enabled
    assert view.error


def test_other_settings_follow_their_switches_while_a_value_is_invalid():
    views = views_of(unet_lr="fast", multinoise="on", mixed_precision="")
    assert views["multires_noise_discount"].visible
    assert views["full_fp16"].visible  # an invalid switch counts as its default


def test_missing_values_count_as_defaults():
    views = field_views(check({}))
    assert views["min_snr_gamma"].visible
    assert all(views[name].error for name in REQUIRED)


def test_errors_are_counted_by_tab():
    draft = check({**REQUIRED, "model_type": "SD1.5", "unet_lr": "x", "seed": -1, "network_dim": "y"})
    counts = {tab: count for tab, count in tab_errors(draft).items() if count}
    assert counts == {Tab.DATASET: 1, Tab.LORA: 1, Tab.LEARNING_RATE: 1}


def test_an_error_between_two_tabs_counts_in_both():
    draft = check({**REQUIRED, "model_type": "SD1.5", "random_crop": True, "cache_latents": True})
    counts = {tab: count for tab, count in tab_errors(draft).items() if count}
    assert counts == {Tab.DATASET: 1, Tab.ADVANCED: 1}


def test_names_that_are_no_settings_change_nothing():
    draft = check({**REQUIRED, "model_type": "SD1.5", "unheard_of": 1})
    assert field_views(draft) == views_of(model_type="SD1.5")
    assert not any(tab_errors(draft).values())


def test_other_names_of_a_setting_count():
    assert "must be a number" in views_of(learning_rate="x")["unet_lr"].error


@pytest.mark.parametrize("family", FAMILIES)
def test_every_group_has_a_setting_that_every_family_shows(family):
    # otherwise a heading could stand alone
    views = views_of(model_type=family)
    shown = {(spec.tab, spec.group) for spec in SPECS if views[spec.name].visible}
    assert shown == {(spec.tab, spec.group) for spec in SPECS}


@pytest.mark.parametrize(
    ("switch", "hidden", "family"),
    [
        ("ip_noise_gamma_enabled", "ip_noise_gamma", "SD3"),
        ("multinoise", "multires_noise_discount", "Flux"),
        ("min_snr_gamma_enabled", "min_snr_gamma", "Flux"),
    ],
)
def test_what_hangs_on_a_hidden_switch_is_hidden_too_and_told(switch, hidden, family):
    values = {"model_type": family, switch: True, hidden: 0.5}
    assert views_of(**{**values, "model_type": "SDXL"})[hidden].visible
    assert not views_of(**values)[hidden].visible
    (note,) = [finding for finding in check({**REQUIRED, **values}).findings if hidden in finding.settings]
    assert "`model_type`" in note.message


@pytest.mark.parametrize("name", ["v_parameterization", "weighted_captions"])
def test_what_another_family_refuses_is_shown_only_while_it_is_wrong_and_told_once(name):
    assert not views_of(model_type="Flux")[name].visible
    draft = check({**REQUIRED, "model_type": "Flux", name: True})
    assert field_views(draft)[name].visible
    (finding,) = [finding for finding in draft.findings if name in finding.settings]
    assert finding.severity is Severity.ERROR


@pytest.mark.parametrize(("name", "value"), [("min_snr_gamma_enabled", False), ("clip_skip", None)])
def test_what_is_off_or_empty_is_no_lost_wish(name, value):
    draft = check({**REQUIRED, "model_type": "SD3", name: value})
    assert not [finding for finding in draft.findings if name in finding.settings]


FLUX, SIGMA = {"model_type": "Flux"}, {"timestep_sampling": "sigma"}
IDLE_MODES = [
    ("lr_warmup_ratio", {"lr_scheduler": "constant", "lr_warmup_ratio": 0.1}, {"lr_scheduler": "cosine"}),
    ("lr_warmup_steps", {"lr_scheduler": "constant", "lr_warmup_steps": 9}, {"lr_scheduler": "cosine"}),
    ("lr_warmup_ratio", {"optimizer_type": "Adafactor"}, {"optimizer_args": "relative_step=False"}),
    (
        "lr_warmup_steps",
        {"optimizer_type": "Adafactor", "lr_warmup_steps": 9},
        {"optimizer_args": "relative_step=False"},
    ),
    ("lr_warmup_ratio", {"lr_warmup_steps": 10}, {"lr_warmup_steps": 0}),
    ("max_train_epochs", {"max_train_steps": 100, "max_train_epochs": 7}, {"max_train_steps": 0}),
    (
        "text_encoder_lr",
        {"model_type": "SDXL", "text_encoder_lr": 0, "text_encoder_1_lr": 1e-5, "text_encoder_2_lr": 0},
        {"text_encoder_2_lr": None},
    ),
    ("weight_decay", {"optimizer_args": "weight_decay=0.2"}, {"optimizer_args": None}),
    ("min_bucket_reso", {"bucket_no_upscale": True, "min_bucket_reso": 128}, {"bucket_no_upscale": False}),
    ("max_bucket_reso", {"bucket_no_upscale": True, "max_bucket_reso": 4096}, {"bucket_no_upscale": False}),
    (
        "bucket_reso_steps",
        {"model_type": "SDXL", "sdxl_bucket_optimization": True, "bucket_reso_steps": 128},
        {"sdxl_bucket_optimization": False},
    ),
    ("train_data_dir", {"dataset_config": "set.toml", "train_data_dir": "cats"}, {"dataset_config": None}),
    ("reg_data_dir", {"dataset_config": "set.toml", "reg_data_dir": "cats"}, {"dataset_config": None}),
    ("prior_loss_weight", {"prior_loss_weight": 0.5}, {"reg_data_dir": "cats"}),
    ("latent_cache_crops", {"latent_cache_crops": 4}, {"random_crop": True, "cache_latents": True}),
    (
        "text_cache_variants",
        {"text_cache_variants": 4, "text_encoder_lr": 0},
        {"cache_text_encoder_outputs": True},
    ),
    (
        "text_encoder_batch_size",
        {"text_encoder_batch_size": 4, "text_encoder_lr": 0},
        {"cache_text_encoder_outputs": True},
    ),
    ("keep_tokens", {"shuffle_caption": False, "keep_tokens": 1}, {"caption_tag_dropout_rate": 0.1}),
    ("adaptive_noise_scale", {"adaptive_noise_scale": 0.1}, {"noise_offset": 0.05}),
    ("noise_offset_random_strength", {"noise_offset_random_strength": True}, {"noise_offset": 0.05}),
    (
        "discrete_flow_shift",
        {**FLUX, "timestep_sampling": "flux_shift", "discrete_flow_shift": 2},
        {"timestep_sampling": "sigma"},
    ),
    (
        "sigmoid_scale",
        {**FLUX, "timestep_sampling": "uniform", "sigmoid_scale": 2},
        {"timestep_sampling": "sigmoid"},
    ),
    ("weighting_scheme", {**FLUX, "weighting_scheme": "mode"}, {"model_prediction_type": "sigma_scaled"}),
    ("logit_mean", {**FLUX, "weighting_scheme": "logit_normal", "logit_mean": 1}, SIGMA),
    ("logit_std", {**FLUX, "weighting_scheme": "logit_normal", "logit_std": 2}, SIGMA),
    ("mode_scale", {**FLUX, "weighting_scheme": "mode", "mode_scale": 1}, SIGMA),
    ("logit_mean", {"model_type": "SD3", "logit_mean": 1}, {"weighting_scheme": "logit_normal"}),
    ("logit_std", {**FLUX, **SIGMA, "logit_std": 2}, {"weighting_scheme": "logit_normal"}),
    ("mode_scale", {"model_type": "SD3", "mode_scale": 1}, {"weighting_scheme": "mode"}),
    ("sample_at_first", {"sample_at_first": False}, {"sample_every_n_epochs": 1}),
    ("sample_sampler", {"sample_sampler": "ddim"}, {"sample_every_n_steps": 9}),
    ("no_half_vae", {"mixed_precision": "no", "no_half_vae": True}, {"mixed_precision": "fp16"}),
    ("save_last_n_epochs", {"save_every_n_epochs": 0, "save_last_n_epochs": 2}, {"save_every_n_epochs": 1}),
    ("save_last_n_epochs_state", {"save_last_n_epochs_state": 2}, {"save_state": True}),
]


@pytest.mark.parametrize(("name", "mode", "cure"), IDLE_MODES)
def test_a_setting_without_effect_is_greyed_out_with_the_reason_and_the_findings_agree(name, mode, cure):
    view = views_of(**mode)[name]
    assert not view.enabled
    assert view.reason
    assert "{" not in view.reason
    found = check({**REQUIRED, **mode}).findings
    assert [f for f in found if name in f.settings and f.severity is not Severity.ERROR]
    cured = views_of(**{**mode, **cure})[name]
    assert cured.enabled
    assert not cured.reason


def test_each_such_condition_is_tried():
    assert sum(len(idle.settings) for idle in IDLE) == len(IDLE_MODES)


def test_the_rules_that_tell_more_of_it_exist():
    assert {idle.rule for idle in IDLE} - {""} <= {rule.name for rule in RULES}


def test_the_size_of_an_adapter_that_has_none_is_greyed_out():
    view = views_of(lora_type="IA3")["network_dim"]
    assert view.reason == "(IA)³ does not use it"


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(["1e999", "on"]),
)


@given(st.dictionaries(st.sampled_from([spec.name for spec in SPECS]), ODD, max_size=12))
def test_whatever_is_entered_is_shown_and_no_error_is_hidden(values):
    draft = check({**REQUIRED, **values})
    views = field_views(draft)
    assert len(views) == len(SPECS)
    for finding in draft.errors:
        for name in finding.settings:
            assert views[name].visible
            assert views[name].enabled
        if len(finding.settings) == 1:
            assert views[finding.settings[0]].error
