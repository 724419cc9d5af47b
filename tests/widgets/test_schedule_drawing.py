"""Tests of lora_widgets/widgets/schedule_drawing.py."""

import re
import xml.etree.ElementTree as ET

import pytest

from lora_widgets.catalog.lr_schedules import LR_SCHEDULES
from lora_widgets.config.findings import check
from lora_widgets.demo.config import demo_config
from lora_widgets.widgets.schedule_drawing import POINTS, schedule_html


def drawing(**changes):
    return schedule_html(check({**dict(demo_config(output_dir="out")), **changes}))


def lines(markup):
    found = re.findall(r'<polyline [^>]*points="([^"]*)"', markup)
    return [[tuple(map(float, pair.split(","))) for pair in points.split()] for points in found]


def test_each_rate_is_a_line_with_its_highest_value():
    markup = drawing(unet_lr=5e-4, text_encoder_lr=1e-3)
    unet, text = lines(markup)
    assert "at most 5.00e-04" in markup
    assert "at most 1.00e-03" in markup
    assert min(y for _, y in text) < min(y for _, y in unet)  # SVG's y grows downwards
    assert "240 steps" in markup


def test_a_warm_up_rises_and_a_cosine_falls():
    ((_, first), *_, (_, last)) = lines(drawing(text_encoder_lr=0, lr_warmup_ratio=0.5))[0]
    heights = [y for _, y in lines(drawing(text_encoder_lr=0, lr_warmup_ratio=0.5))[0]]
    assert min(heights) < first
    assert min(heights) < last


def test_while_the_number_of_steps_is_unknown_one_is_assumed_and_said_so():
    assert "as for 1,000 steps; the number is not known yet" in drawing(max_train_steps=0)


@pytest.mark.parametrize("total", [1, 2, POINTS, POINTS + 1, 9999, 1_000_000])
def test_any_length_is_drawn_with_few_points_from_the_first_step_to_the_last(total):
    line = lines(drawing(max_train_steps=total, text_encoder_lr=0))[0]
    assert len(line) == min(total, POINTS)
    assert all(0 <= x <= 640 for x, _ in line)


@pytest.mark.parametrize("schedule", LR_SCHEDULES)
@pytest.mark.parametrize("optimizer", ["AdamW", "Prodigy", "Adafactor", "AdamWScheduleFree"])
def test_every_schedule_makes_a_well_formed_drawing(schedule, optimizer):
    markup = drawing(lr_scheduler=schedule, optimizer_type=optimizer, max_train_steps=50)
    ET.fromstring(markup)
    assert not re.search(r"nan|inf\b", markup.lower())


def test_a_rate_that_an_optimizer_finds_is_not_invented():
    assert "times the rate that Prodigy finds" in drawing(optimizer_type="Prodigy")
    assert not lines(drawing(optimizer_type="Adafactor"))
    assert "finds its rates itself" in drawing(optimizer_type="Adafactor")


def test_why_there_is_no_drawing_is_said():
    assert "values marked as wrong" in drawing(unet_lr="x")
    assert "all rates are 0" in drawing(unet_lr=0, text_encoder_lr=0)
