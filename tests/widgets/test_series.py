"""Tests of lora_widgets/widgets/series.py."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.widgets.series import label, smooth, spans, thin, ticks, value_range

NUMBERS = st.floats(-1e6, 1e6)
ANY_NUMBER = st.one_of(NUMBERS, st.sampled_from([math.nan, math.inf, -math.inf]))


def test_smoothing_a_constant_changes_nothing():
    assert smooth([3.0] * 50, 10) == pytest.approx([3.0] * 50)


def test_half_of_a_jump_is_forgotten_after_the_half_life():
    smoothed = smooth([1.0] * 2000 + [0.0] * 10, 10)
    assert smoothed[-1] == pytest.approx(0.5, abs=1e-6)


@given(st.lists(ANY_NUMBER, max_size=60))
def test_smoothing_stays_within_the_finite_values(values):
    finite = [v for v in values if math.isfinite(v)]
    for value in smooth(values, 5):
        if not math.isnan(value):
            assert min(finite) - 1e-3 <= value <= max(finite) + 1e-3


def test_a_value_that_is_not_finite_leaves_the_course_as_it_was():
    assert smooth([math.nan, 2.0, math.inf, math.nan], 5)[1:] == pytest.approx([2.0, 2.0, 2.0])
    assert math.isnan(smooth([math.nan], 5)[0])


@given(st.lists(ANY_NUMBER, max_size=500), st.integers(1, 50))
def test_spans_are_few_and_lose_no_extreme(values, count):
    found = spans(range(len(values)), values, count=count)
    finite = [v for v in values if math.isfinite(v)]
    assert len(found) <= count
    if finite:
        assert min(s.low for s in found) == min(finite)
        assert max(s.high for s in found) == max(finite)
    else:
        assert found == []


@given(st.lists(ANY_NUMBER, max_size=300), st.integers(2, 50))
def test_thinning_keeps_the_ends(values, count):
    points = [(i, v) for i, v in enumerate(values) if math.isfinite(v)]
    thinned = thin(range(len(values)), values, count=count)
    assert len(thinned) <= count
    assert thinned[:1] == points[:1]
    assert thinned[-1:] == points[-1:]


@given(st.lists(ANY_NUMBER, max_size=300), st.lists(ANY_NUMBER, max_size=20))
def test_a_range_is_never_empty_and_holds_what_must_be_seen(values, always):
    low, high = value_range(values, always=always)
    assert low < high
    assert all(low <= v <= high for v in always if math.isfinite(v))


def test_one_wild_value_does_not_flatten_the_rest():
    assert value_range([1.0] * 100 + [2.0] * 99 + [1e6])[1] < 3


@given(NUMBERS, st.floats(1e-6, 1e6), st.integers(2, 10))
def test_ticks_are_within_the_axis_and_not_too_many(low, length, count):
    if low + length > low:
        found = ticks(low, low + length, count=count)
        slack = 1e-6 * (abs(low) + length)
        assert len(found) <= count + 1
        assert all(low - slack <= tick <= low + length + slack for tick in found)


def test_ticks_of_steps_are_whole_numbers():
    assert ticks(0, 3, count=6, whole=True) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.05, "0.05"), (1500, "1500"), (1e-4, "1e-4"), (2.5e-5, "2.5e-5"), (250000.0, "250000")],
)
def test_labels_are_short(value, text):
    assert label(value) == text
