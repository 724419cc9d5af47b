"""Tests of lora_widgets/preview/choice.py and looking.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.preview.choice import ALL, bucket_choices, chosen, mark_choices, pages_of
from lora_widgets.preview.dry_run import dry_run
from lora_widgets.preview.looking import compared_text, failed_html
from lora_widgets.preview.marks import Badge, Compared, Mark


@pytest.fixture
def run(make_config):
    return dry_run(make_config())


@given(st.lists(st.integers()), st.integers(1, 9))
def test_pages_hold_everything_once_and_there_is_always_one(items, size):
    pages = pages_of(items, size)
    assert [item for page in pages for item in page] == items
    assert len(pages) == max(1, -(-len(items) // size))
    assert all(len(page) <= size for page in pages)


def test_each_bucket_alone_holds_what_its_choice_says(run):
    for label, value in bucket_choices(run):
        cards = chosen(run, None, bucket=value, mark=ALL)
        assert f"({len(cards)})" in label
    assert len(bucket_choices(run)) == len(run.buckets) + 1


def test_each_mark_alone_holds_what_its_choice_says(run):
    first, second, *_ = run.cards
    badge = Badge(Mark.DUPLICATE, "2 alike", "It looks like another.")
    numbers = tuple(sorted((first.number, second.number)))
    compared = Compared(dict.fromkeys(numbers, (badge,)), (numbers,))
    labels = [label for label, _ in mark_choices(run, compared)]
    assert labels == ["all pictures", "with a problem (3)", "look alike (2)", "no caption (1)"]
    for label, value in mark_choices(run, compared)[1:]:
        assert f"({len(chosen(run, compared, bucket=ALL, mark=value))})" in label
    alike = chosen(run, compared, bucket=ALL, mark=Mark.DUPLICATE)
    assert [entry.card.number for entry in alike] == list(numbers)
    assert {entry.heading for entry in alike} == {"Group 1: 2 pictures"}
    assert chosen(run, None, bucket=ALL, mark=Mark.DUPLICATE) == []


def test_cards_of_a_bucket_stand_together(run):
    headings = [entry.heading for entry in chosen(run, None, bucket=ALL, mark=ALL)]
    assert len([h for h, before in zip(headings, [None, *headings], strict=False) if h != before]) == len(
        run.buckets
    )


@pytest.mark.parametrize(
    ("groups", "text"),
    [((), "none look alike"), (((0, 1),), "1 group looks alike"), (((0, 1), (2, 3)), "2 groups look alike")],
)
def test_what_was_found_is_said_in_words(groups, text):
    assert compared_text(Compared({}, groups), 4) == f"All 4 pictures compared: {text}"


def test_a_mistake_is_escaped():
    assert "<b>" not in failed_html(ValueError("<b>"))
