import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lora_widgets.catalog.optimizers import OPTIMIZERS
from lora_widgets.config.facts import DatasetFacts, Facts, LongCaption
from lora_widgets.config.fields import fields
from lora_widgets.config.findings import Draft, Severity, check, config_from, validate_training_config
from lora_widgets.config.training_config import ALIASES, TrainingConfig
from lora_widgets.errors import ConfigError

GOOD = {
    "project_name": "cat",
    "model_type": "SD1.5",
    "pretrained_model_name_or_path": "owner/name",
    "train_data_dir": "pictures",
    "output_dir": "out",
    "resolution": 512,
    "clip_skip": 1,
}
NAMES = [*TrainingConfig.model_fields, *ALIASES]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def valid_value(spec):
    """Draw a value within the declared limits of a setting."""
    if spec.choices:
        return st.sampled_from(spec.choices)
    low, high = spec.bounds.minimum, spec.bounds.maximum
    if spec.type is bool:
        return st.booleans()
    if spec.type is int or spec.name == "resolution":
        step = {"bucket_reso_steps": 8, "max_token_length": 75}.get(spec.name, 1)
        return st.integers(int(low) // step, int(high) // step).map(lambda n: n * step)
    if spec.type is float:
        return st.floats(
            low if low is not None else spec.bounds.above,
            high if high is not None else spec.bounds.below,
            exclude_min=low is None,
            exclude_max=high is None,
        )
    if spec.name.endswith("_args"):
        return st.sampled_from(
            [None, "eps=1e-6", "betas=0.9", '{"gamma": 5}', "step_rules=1:5,0.1", "x=[1, {}]"]
        )
    return st.from_regex(r"[a-z]{1,8}", fullmatch=True)


def long_caption(tokens):
    return LongCaption("a.png", tokens, ("x",) * ((tokens - 1) // 75))


valid = st.fixed_dictionaries({}, optional={spec.name: valid_value(spec) for spec in fields(TrainingConfig)})
facts = st.builds(
    Facts,
    dataset=st.none()
    | st.builds(
        DatasetFacts,
        images=st.integers(0, 50),
        bucket_counts=st.lists(st.integers(0, 500), max_size=5).map(tuple),
        skipped=st.lists(st.text(max_size=5), max_size=5).map(tuple),
        without_caption=st.integers(0, 5),
        long_captions=st.just(()) | st.builds(long_caption, st.integers(76, 400)).map(lambda one: (one,)),
    ),
    cuda=st.none() | st.booleans(),
    bf16=st.none() | st.booleans(),
    taken_names=st.frozensets(st.sampled_from(["cat", "cat-2", "cat-3"])),
)


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=12), anything, max_size=6), facts)
@settings(max_examples=100)
def test_any_values_give_a_draft_with_findings(values, known):
    for given_values in (values, {**GOOD, **values}):
        draft = check(given_values, known)
        assert isinstance(draft, Draft)
        assert draft.config is not None or draft.errors
        assert all(finding.message and finding.settings is not None for finding in draft.findings)


@example("fp8_base", 10**5000)
@given(
    st.sampled_from(NAMES),
    st.integers(10**300, 10**320) | st.sampled_from([10**5000, -(10**5000), "9" * 5000]),
)
def test_enormous_numbers_are_answered_too(name, value):
    draft = check({**GOOD, name: value})
    assert draft.config is not None or draft.errors


@given(valid, facts)
@settings(max_examples=100)
def test_values_within_their_limits_make_a_config_and_no_rule_stumbles(values, known):
    draft = check({**GOOD, **values}, known)
    assert draft.config is not None, draft.findings
    again = check(draft.config, known)
    assert (again.config, again.findings, again.steps) == (draft.config, draft.findings, draft.steps)


def test_checking_takes_less_than_a_millisecond():
    full = dict(TrainingConfig(**GOOD))
    known = Facts(dataset=DatasetFacts(50, (300, 200)), cuda=True, bf16=True)
    bad = {**full, "resolution": 0, "unet_lr": "fast"}
    for values in (full, bad):
        best = float("inf")
        for _ in range(20):
            start = time.perf_counter()
            check(values, known)
            best = min(best, time.perf_counter() - start)
        assert best < 1e-3


def test_the_plan_s_conflicts_are_said_in_its_words():
    config = TrainingConfig(
        **GOOD, cache_text_encoder_outputs=True, shuffle_caption=True, random_crop=True, cache_latents=True
    )
    assert validate_training_config(config) == [
        "Cannot use Caption Shuffling with Text Encoder Caching",
        "Cannot cache Text Encoder while training it (set Text LR to 0)",
        "Cannot use Random Crop with Latent Caching",
    ]
    assert validate_training_config(TrainingConfig(**GOOD)) == []


def test_errors_come_first_and_notes_last():
    findings = check(
        {**GOOD, "clip_skip": 2, "noise_offset": 0.5, "random_crop": True, "cache_latents": True}
    ).findings
    assert [finding.severity for finding in findings] == [Severity.ERROR, Severity.WARNING, Severity.NOTE]


def test_rules_speak_while_another_setting_is_invalid():
    draft = check({"seed": "x", "random_crop": True, "cache_latents": True})
    messages = [finding.message for finding in draft.findings]
    assert draft.config is None
    assert "`project_name` is not set." in messages
    assert "Cannot use Random Crop with Latent Caching" in messages


def test_steps_are_planned_from_the_pictures():
    known = Facts(dataset=DatasetFacts(5, (30, 9, 6, 4, 1)))
    draft = check({**GOOD, "max_train_epochs": 5}, known)
    assert draft.steps is not None
    assert draft.steps.total_steps == 75
    assert check(GOOD).steps is None
    assert check({**GOOD, "seed": -1}, known).steps is None


def test_config_from_raises_in_the_user_s_words():
    assert config_from(GOOD).seed == 42
    with pytest.raises(ConfigError) as failure:
        config_from({**GOOD, "resolution": 0, "netwrok_dim": 3})
    assert "`resolution` is 0, but must be at least 64" in str(failure.value)
    assert "Did you mean `network_dim`" in str(failure.value)


def test_a_secret_is_never_in_a_finding():
    draft = check({**GOOD, "wandb_key": ["hush-hush"], "wandb_kye": "hush-hush"})
    assert draft.errors
    assert "hush" not in repr(draft)


def test_a_missing_package_is_found_for_every_optimizer():
    for row in OPTIMIZERS.values():
        draft = check({**GOOD, "optimizer_type": row.name}, Facts(missing_packages=(row.package,)))
        assert any(row.package in error.message for error in draft.errors)
