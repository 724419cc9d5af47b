"""Lines of prompts mean what they mean to the reference; what they leave out is the family's default."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.config.prompts import MIN_SIDE, fitted_side, prompts_of, read_line, read_lines
from lora_widgets.config.training_config import TrainingConfig

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "prompts.json").read_text(encoding="utf-8"))


def config_of(**changes):
    values = {
        "project_name": "x",
        "pretrained_model_name_or_path": "owner/name",
        "train_data_dir": "pictures",
        "output_dir": "out",
        "resolution": 512,
    }
    return TrainingConfig(**values | changes)


def read(line):
    return read_line(line, place="line 1")


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["line"][:40])
def test_lines_mean_what_they_mean_to_the_reference(case):
    says = read(case["line"]).says
    # the reference keeps blanks around the text, which the tokenizer drops
    assert says == case["expected"] | {"text": case["expected"]["text"].strip()}


@pytest.mark.parametrize(
    ("line", "ignored"),
    [
        ("x --cn pose.png --w 512", ("--cn pose.png",)),
        ("x --d -1", ("--d -1",)),
        ("x -- w 512", ("-- w 512",)),
        ("x --n", ("--n",)),
        ("x \u2014w 64 \u2013ss euler a \u2014 b", ("\u2014w 64", "\u2013ss euler")),
        ("x --d 99999999999999999999", ("--d 99999999999999999999",)),
        ("x --l " + "9" * 400, ("--l " + "9" * 36 + "…",)),
        ("x --w 512 --L 2 --ss euler --g 3.5 --n a --h 64 --s 4 --d 18446744073709551615", ()),
    ],
)
def test_options_without_effect_are_kept_for_the_finding(line, ignored):
    assert read(line).ignored == ignored


def test_empty_lines_and_comments_are_left_out_and_lines_are_counted_as_people_count():
    found = read_lines("# mine\n\n a cat --w 128\r\n\t#no\na dog\n")
    assert [(prompt.place, prompt.says["text"]) for prompt in found] == [
        ("line 3", "a cat"),
        ("line 5", "a dog"),
    ]


@pytest.mark.parametrize(
    ("family", "steps", "scale", "guidance", "size"),
    [
        ("SD1.5", 30, 7.5, None, (504, 1000)),
        ("SDXL", 30, 7.5, None, (504, 1000)),
        ("SD3", 30, 7.5, None, (496, 992)),
        ("Flux", 20, 1.0, 3.5, (496, 992)),
    ],
)
def test_what_a_line_leaves_out_is_the_default_of_the_family(family, steps, scale, guidance, size):
    config = config_of(model_type=family, resolution="768,1024")
    plain, sized = prompts_of(read_lines("a cat\na dog --w 505 --h 1003"), config)
    assert (plain.width, plain.height) == (768, 1024)
    assert (plain.steps, plain.scale, plain.guidance, plain.seed) == (steps, scale, guidance, None)
    assert (sized.width, sized.height) == size


@given(st.integers(1, 10_000), st.sampled_from([row.samples.side_multiple for row in FAMILIES.values()]))
def test_sides_are_multiples_never_above_what_is_asked_for_beyond_the_least(side, multiple):
    fitted = fitted_side(side, multiple)
    assert fitted % multiple == 0
    assert fitted >= MIN_SIDE
    assert side - multiple < fitted <= max(side, MIN_SIDE)


@given(st.text(max_size=60))
def test_any_line_can_be_read(line):
    written = read(line)
    assert prompts_of([written], config_of())[0].text == written.says["text"]
