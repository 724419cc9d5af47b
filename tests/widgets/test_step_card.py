"""Tests of lora_widgets/widgets/step_card.py."""

import html
import re
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.config.facts import DatasetFacts
from lora_widgets.config.findings import Facts, Finding, Severity, check
from lora_widgets.config.memory_estimate import MemoryEstimate, PhaseMemory
from lora_widgets.demo.config import demo_config
from lora_widgets.preview.numbers import counted
from lora_widgets.widgets import step_card
from lora_widgets.widgets.look_around import Seen
from lora_widgets.widgets.step_card import steps_html

VALUES = dict(demo_config(max_train_steps=0, max_train_epochs=8, train_batch_size=8))
NUMBER = re.compile(r'lw-steps-number">([^<]*)<')


def seen(*counts, repeats=(10,), images=16, **facts):
    return Seen(Facts(dataset=DatasetFacts(images, counts, **facts)), repeats=repeats)


def card(what=None, *, counting=False, **changes):
    what = what or Seen()
    draft = check({**VALUES, **changes}, what.facts)
    return html.unescape(steps_html(draft, what, counting=counting))


def test_the_arithmetic_is_spelled_out():
    text = card(seen(160))
    assert NUMBER.search(text)[1] == "160"
    spelled = "16 pictures × 10 repeats = 160; 160 ÷ batch 8 = 20 steps per epoch; 20 × 8 epochs = 160 steps"
    assert spelled in text
    assert "16 pictures in 1 bucket" in text


def test_different_repeats_are_not_multiplied():
    assert "16 pictures × 2 to 10 repeats = 90" in card(seen(90, repeats=(2, 10)))


def test_the_time_is_told_where_a_run_of_the_kind_is_known(monkeypatch):
    monkeypatch.setattr(step_card, "expected_seconds", lambda config, facts, steps: 1.5 * steps.total_steps)
    assert "about 4 min, as the last run of this kind went" in card(seen(160))


def test_memory_that_was_measured_is_told_as_such(monkeypatch):
    def estimated(config, facts, steps, *, is_measured=False):
        return MemoryEstimate((PhaseMemory("Training", (("base model", 2.1e9),), is_measured),), disk=0)

    monkeypatch.setattr(step_card, "expected_memory", estimated)
    assert "about 2.1 GB of memory<" in card(seen(160))
    monkeypatch.setattr(step_card, "expected_memory", partial(estimated, is_measured=True))
    assert "about 2.1 GB of memory, as measured<" in card(seen(160))


def test_no_time_is_told_before_a_run_of_the_kind():
    assert "last run" not in card(seen(160))


def test_rounding_is_told_where_it_happens():
    assert "20 steps per epoch;" in card(seen(80, 80))
    assert "(rounded up in each bucket)" in card(seen(81, 79))
    assert "21 steps per epoch (rounded up)" in card(seen(161))


def test_accumulation_is_a_step_of_its_own():
    text = card(seen(160), gradient_accumulation_steps=3)
    spelled = "160 ÷ batch 8 = 20 batches; 20 ÷ 3 accumulated = 7 steps per epoch; 7 × 8 epochs = 56 steps"
    assert spelled in text


def test_pictures_shown_once_more_to_fill_batches_are_counted():
    text = card(seen(81, 79), partial_batches="repeat")
    assert "= 160, filled up to 168; 168 ÷ batch 8 = 21 steps per epoch;" in text


def test_batches_of_different_sizes_are_said():
    text = card(seen(80, 80, batch_sizes=(4, 8)))
    assert "160 ÷ batch 4 to 8 = 30 steps per epoch (rounded up in each bucket)" in text


@pytest.mark.parametrize(("steps", "epochs"), [(160, "8 epochs"), (150, "7.5 epochs"), (20, "1 epoch")])
def test_max_steps_are_turned_into_epochs(steps, epochs):
    text = card(seen(160), max_train_steps=steps)
    assert text.count(f"; max steps {steps} = {epochs}<") == 1


def test_one_of_a_thing_is_one():
    assert "1 picture × 1 repeat = 1" in card(seen(1, images=1, repeats=(1,)), train_batch_size=1)
    assert counted(2, "batch") == "2 batches"
    assert counted(1234, "step") == "1,234 steps"


def test_left_out_files_and_missing_captions_are_counted():
    text = card(seen(160, skipped=("a.gif: x", "b.gif: y"), without_caption=3))
    assert "16 pictures in 1 bucket, 3 without caption, 2 files left out" in text


def test_while_counting_the_formula_is_shown_and_no_number():
    text = card(counting=True)
    assert NUMBER.search(text)[1] == "–"
    assert "Counting the pictures" in text
    assert "pictures × 10 repeats ÷ batch 8 × 8 epochs = steps" in text


def test_without_a_folder_it_asks_for_one():
    assert "Choose a folder" in card(train_data_dir="", counting=True)


def test_a_folder_that_cannot_be_used_is_not_counted_for_ever():
    text = card(Seen(Facts(missing_paths=("train_data_dir",))), counting=True)
    assert "cannot be used" in text


def test_a_wrong_value_elsewhere_is_named_as_the_reason():
    assert "marked as wrong" in card(seen(160), unet_lr="fast")


def test_without_a_length_it_says_so():
    assert "no length" in card(seen(160), max_train_epochs=0)


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=5),
    st.integers(1, 9),
    st.integers(1, 5),
    st.integers(0, 99),
)
def test_the_big_number_is_that_of_the_check(counts, batch, accumulation, steps):
    what = seen(*counts)
    changes = {
        "train_batch_size": batch,
        "gradient_accumulation_steps": accumulation,
        "max_train_steps": steps,
    }
    draft = check({**VALUES, **changes}, what.facts)
    text = card(what, **changes)
    assert NUMBER.search(text)[1] == f"{draft.steps.total_steps:,}"
    assert f"= {counted(draft.steps.steps_per_epoch, 'step')} per epoch" in text


def test_findings_of_the_folder_are_enough_to_say_so():
    from dataclasses import replace

    draft = check(VALUES)
    broken = Finding(Severity.ERROR, ("train_data_dir",), "gone", "")
    draft = replace(draft, findings=(broken, *draft.findings))
    assert "cannot be used" in steps_html(draft, Seen(), counting=False)
