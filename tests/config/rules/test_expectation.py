"""What is known of time and memory before a run, by what an earlier run of the same kind took."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from situations import BASE, SD15_SIZE

from lora_widgets.config.expectation import (
    LEAST_FACTOR,
    MOST_FACTOR,
    SAME_IN_EVERY_RUN,
    Took,
    as_measured,
    expected_memory,
    expected_seconds,
    measured_run,
    newer,
)
from lora_widgets.config.facts import DatasetFacts, Facts, MeasuredPhase
from lora_widgets.config.findings import check
from lora_widgets.config.memory_estimate import PhaseMemory, estimate_for
from lora_widgets.config.phases import TRAINING
from lora_widgets.config.steps import steps_of
from lora_widgets.config.training_config import TrainingConfig

BATCH, SIDE, RANK = 2, 512, 16
ALL_IN_ONE = (BATCH, (SIDE, SIDE))


def squares(side=SIDE):
    return DatasetFacts(images=10, bucket_counts=(10,), bucket_sizes=((side, side),))


FACTS = Facts(dataset=squares(), base_model=SD15_SIZE, cuda=True)


def config_of(**changes):
    sizes = {"train_batch_size": BATCH, "network_dim": RANK, "max_train_epochs": 4, "max_train_steps": 0}
    return TrainingConfig(**{**BASE, **sizes, **changes})


def plan_of(config, facts=FACTS):
    steps = steps_of(config, facts.dataset)
    assert steps is not None
    return steps


def run_of(*, seconds=None, facts=FACTS, batch=ALL_IN_ONE, peaks=None, **changes):
    config = config_of(**changes)
    run = measured_run(config, facts, plan_of(config, facts), Took(seconds, peaks or {}, batch))
    assert run is not None
    return run


def after(run, facts=FACTS):
    return replace(facts, measured=(run,))


def seconds_of(facts, **changes):
    config = config_of(**changes)
    return expected_seconds(config, facts, plan_of(config, facts))


def training_of(facts, *, by=expected_memory, **changes):
    config = config_of(**changes)
    estimate = by(config, facts, plan_of(config, facts))
    return next(phase for phase in estimate.phases if phase.name == TRAINING)


FORMULA = training_of(FACTS, by=estimate_for)


def measured(share_of_growing, *, constant=0.0, **how):
    """Return facts after a run whose training took so much of what grows, and something else."""
    peak = FORMULA.bytes - FORMULA.growing * (1 - share_of_growing) + constant
    return after(run_of(peaks={TRAINING: peak}, **how))


def test_a_run_of_the_same_kind_takes_as_long_for_each_pixel():
    facts = after(run_of(seconds=2.0))
    assert seconds_of(facts) == pytest.approx(20 * 2.0)
    assert seconds_of(facts, max_train_epochs=8) == pytest.approx(40 * 2.0)
    assert seconds_of(facts, train_batch_size=1) == pytest.approx(40 * 1.0)
    assert seconds_of(replace(facts, dataset=squares(1024))) == pytest.approx(20 * 8.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"mixed_precision": "no"},
        {"base_weights": "fp8"},
        {"gradient_checkpointing": False},
        {"optimizer_type": "AdamW"},
        {"lora_type": "LoHa"},
        {"text_encoder_lr": 0.0},
        {"cache_latents": True},
        {"torch_compile": True},
    ],
)
def test_nothing_is_known_of_a_run_of_another_kind(changes):
    base, facts = config_of(), after(run_of(seconds=2.0, peaks={TRAINING: 2 * FORMULA.bytes}))
    assert all(getattr(base, name) != value for name, value in changes.items())
    assert seconds_of(facts, **changes) is None
    assert training_of(facts, **changes) == training_of(FACTS, by=estimate_for, **changes)


def test_nothing_is_known_of_another_place_or_model():
    facts = after(run_of(seconds=2.0))
    larger = replace(SD15_SIZE, denoiser=replace(SD15_SIZE.denoiser, numbers=10**9))
    assert seconds_of(replace(facts, cuda=False)) is None
    assert seconds_of(replace(facts, base_model=larger)) is None
    assert seconds_of(replace(facts, base_model=None)) is None


@given(st.floats(0.0, 8.0), st.floats(-3e9, 3e9), st.booleans())
def test_a_repetition_takes_what_was_measured(share, constant, on_gpu):
    facts = replace(FACTS, cuda=on_gpu)
    formula = training_of(facts, by=estimate_for)
    peak = max(formula.weights, formula.bytes - formula.growing * (1 - share) + constant)
    again = training_of(after(run_of(facts=facts, peaks={TRAINING: peak}), facts))
    assert again.is_measured
    assert again.bytes == pytest.approx(peak, rel=1e-6)


@given(
    st.floats(0.0, 8.0),
    st.integers(1, 8),
    st.sampled_from([256, 512, 1024]),
    st.integers(1, 256),
)
def test_a_correction_never_takes_less_for_more_and_never_less_than_the_weights(share, batch, side, rank):
    facts = replace(measured(share), dataset=squares(side))
    given_ = {"train_batch_size": batch, "network_dim": rank}
    least = training_of(facts, **given_)
    assert least.bytes >= least.weights
    for more in ({"train_batch_size": batch + 1}, {"network_dim": rank + 1}):
        assert training_of(facts, **(given_ | more)).bytes >= least.bytes
    larger = replace(facts, dataset=squares(side + 64))
    assert training_of(larger, **given_).bytes >= least.bytes


# Megabytes that tests/bench/bench_memory.py measured on a processor: peak, formula and what of it grows, with
# pictures of 128 and of 256 pixels.
RECORDED = {
    "Training": ((2254, 2129, 350), (2939, 2855, 1076)),
    "Training with checkpointing": ((2097, 1954, 174), (2232, 2151, 372)),
    "Drawing samples": ((2221, 2061, 282), (2339, 2162, 383)),
    "Encoding pictures": ((219, 248, 21), (285, 311, 84)),
}


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("order", [1, -1], ids=["from small to large", "from large to small"])
def test_runs_of_another_size_are_foretold_better_than_by_formula(name, order):
    known, asked = RECORDED[name][::order]
    peak, formula, growing = (1e6 * number for number in asked)
    weights = ("base model", formula - growing - 60e6)
    phase = PhaseMemory(name, (weights, ("activations", growing), ("program", 60e6)))
    corrected = as_measured(phase, MeasuredPhase(name, *(1e6 * number for number in known)))
    assert abs(corrected.bytes - peak) < 0.8 * abs(formula - peak)
    assert corrected.bytes == pytest.approx(peak, rel=0.03)


def test_what_libraries_keep_is_added_and_does_not_grow():
    facts = measured(1.0, constant=SAME_IN_EVERY_RUN)
    formula = training_of(FACTS, by=estimate_for, train_batch_size=8).bytes
    assert training_of(facts, train_batch_size=8).bytes == pytest.approx(formula + SAME_IN_EVERY_RUN)


def test_a_formula_that_is_off_by_a_factor_is_so_for_larger_batches():
    facts = measured(1.4, constant=SAME_IN_EVERY_RUN)
    formula = training_of(FACTS, by=estimate_for, train_batch_size=8)
    expected = formula.bytes + 0.4 * formula.growing + SAME_IN_EVERY_RUN
    assert training_of(facts, train_batch_size=8).bytes == pytest.approx(expected)


@pytest.mark.parametrize(("peak", "factor"), [(20e9, MOST_FACTOR), (FORMULA.weights + 1e6, LEAST_FACTOR)])
def test_a_difference_beyond_reason_is_not_multiplied(peak, factor):
    facts = after(run_of(peaks={TRAINING: peak}))
    growth = training_of(FACTS, by=estimate_for, train_batch_size=8).bytes - FORMULA.bytes
    assert training_of(facts, train_batch_size=8).bytes == pytest.approx(peak + factor * growth)


def test_a_peak_stands_beside_the_batch_that_made_it():
    """The largest batch may come later than the first steps."""
    size = (SIDE, SIDE // 2)
    small = replace(FACTS, dataset=replace(squares(), bucket_sizes=(size,)))
    peak = training_of(small, by=estimate_for, train_batch_size=1).bytes
    assert peak < 0.9 * FORMULA.bytes
    facts = after(run_of(peaks={TRAINING: peak}, batch=(1, size)))
    assert training_of(facts).bytes == pytest.approx(FORMULA.bytes)


def test_a_peak_below_the_weights_is_none():
    assert run_of(peaks={TRAINING: 0.9 * FORMULA.weights}).phases == ()
    assert run_of(peaks={"Loading the denoiser": 9e9}).phases == ()


def test_what_was_not_measured_again_is_still_known():
    older = run_of(seconds=2.0, peaks={TRAINING: 5e9, "Encoding pictures": 1e9})
    both = newer(run_of(peaks={TRAINING: 6e9}), older)
    assert {phase.name: phase.peak for phase in both.phases} == {TRAINING: 6e9, "Encoding pictures": 1e9}
    assert both.seconds_per_pixel == older.seconds_per_pixel
    assert newer(run_of(seconds=3.0), both).seconds_per_pixel == pytest.approx(1.5 * older.seconds_per_pixel)


def test_the_finding_says_that_it_rests_on_a_run():
    facts = replace(measured(1.5), free_gpu_bytes=int(FORMULA.bytes))
    assert not any("are free" in f.message for f in check(config_of(), replace(facts, measured=())).findings)
    (message,) = (f.message for f in check(config_of(), facts).findings if "are free" in f.message)
    assert "of the GPU's memory, as measured on an earlier run of this kind (" in message
