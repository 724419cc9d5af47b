"""Tests of lora_widgets/widgets/charts.py."""

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.widgets.charts import loss_chart, rate_chart

LOSSES = st.lists(st.one_of(st.floats(0, 1e3), st.sampled_from([math.nan, math.inf])), max_size=40)


def points(svg, css_class):
    shape = next(e for e in ET.fromstring(svg).iter() if css_class in e.get("class", "").split())
    return [tuple(map(float, pair.split(","))) for pair in shape.get("points").split()]


def test_a_falling_loss_falls_on_the_page():
    line = points(loss_chart(range(1, 101), [1 / i for i in range(1, 101)]), "lw-loss")
    assert line[0][0] < line[-1][0]
    assert line[0][1] < line[-1][1]  # SVG's y grows downwards


def test_a_long_course_is_drawn_with_few_points():
    chart = loss_chart(range(100_000), [math.sin(i) for i in range(100_000)])
    assert len(points(chart, "lw-band")) <= 600
    assert len(points(chart, "lw-loss")) <= 600
    assert len(chart) < 30_000


@given(LOSSES)
def test_any_losses_make_a_well_formed_chart_without_nan(losses):
    chart = loss_chart(range(1, len(losses) + 1), losses)
    ET.fromstring(chart)
    assert not re.search(r"nan|inf", chart.lower())


@given(LOSSES)
def test_everything_drawn_lies_inside_the_frame(losses):
    chart = loss_chart(range(1, len(losses) + 1), losses)
    drawn = [p for name in ("lw-band", "lw-loss") if name in chart for p in points(chart, name)]
    assert all(0 <= x <= 640 and 0 <= y <= 300 for x, y in drawn)


def test_axes_have_labelled_ticks():
    chart = loss_chart(range(1, 201), [0.1 + i / 1000 for i in range(200)])
    texts = [element.text for element in ET.fromstring(chart).iter() if element.text]
    assert {"0", "50", "100", "150", "200", "0.1", "0.2"} <= set(texts)


def test_the_theme_decides_the_colours():
    assert "#000" not in loss_chart([1, 2], [1.0, 2.0])
    assert "#fff" not in loss_chart([1, 2], [1.0, 2.0])


def test_before_the_first_step_the_chart_says_what_will_come():
    assert "first step" in loss_chart([], [])
    ET.fromstring(rate_chart([], {}))


def test_every_component_has_its_rate():
    chart = rate_chart([1, 2, 3], {"unet": [1e-4] * 3, "text_encoder": [0.0, 5e-5, 2.5e-5]})
    assert "unet" in chart
    assert "text encoder" in chart
    assert "2.50e-05" in chart


def test_rates_of_zero_can_be_drawn():
    ET.fromstring(rate_chart([1, 2], {"unet": [0.0, 0.0]}))


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "&"])
def test_names_are_escaped(text):
    chart = rate_chart([1], {text: [1e-4]})
    ET.fromstring(chart)
    assert "<script" not in chart
