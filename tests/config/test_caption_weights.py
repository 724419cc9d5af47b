"""Brackets in captions mean the weights that other programs read in them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.config.caption_weights import weighted_parts, words_of


@pytest.mark.parametrize(
    ("caption", "parts"),
    [
        ("", []),
        ("a cat", [("a cat", 1)]),
        ("a (cat:1.4), red", [("a ", 1), ("cat", 1.4), (", red", 1)]),
        ("(a)[b]", [("a", 1.1), ("b", 1 / 1.1)]),
        ("((a))", [("a", 1.1 * 1.1)]),
        ("(a (b:2) c:1.5)", [("a ", 1.5), ("b", 3), (" c", 1.5)]),
        ("[a (b)]", [("a ", 1 / 1.1), ("b", 1)]),
        ("(a : 0.5 ) (b:-.5)(c:+2.)", [("a ", 0.5), (" ", 1), ("b", -0.5), ("c", 2)]),
        (r"miku \(vocaloid\), \[x\], c\\d", [(r"miku (vocaloid), [x], c\d", 1)]),
        (r"a\b", [("ab", 1)]),
        ("(a, b", [("a, b", 1.1)]),
        ("[[a", [("a", 1 / 1.1 / 1.1)]),
        ("a), b], c:1.3)", [("a), b], c:1.3)", 1)]),
        ("time: 12:30", [("time: 12:30", 1)]),
        ("(a:high)", [("a:high", 1.1)]),
        ("(a](b)", [("a]", 1.1), ("b", 1.1 * 1.1)]),
    ],
)
def test_brackets_give_weights(caption, parts):
    found = weighted_parts(caption)
    assert [part.text for part in found] == [text for text, _ in parts]
    assert [part.weight for part in found] == pytest.approx([weight for _, weight in parts])


@given(st.text(alphabet=st.characters(exclude_characters="()[]\\")))
def test_a_caption_without_brackets_is_one_part_as_it_is(caption):
    assert words_of(caption) == caption
    assert [part.weight for part in weighted_parts(caption)] == [1.0] * bool(caption)


@given(st.text(alphabet="ab:1.()[]\\ ", max_size=40))
def test_any_brackets_can_be_read_and_neighbours_differ_in_weight(caption):
    parts = weighted_parts(caption)
    assert all(part.text for part in parts)
    assert all(one.weight != other.weight for one, other in pairwise(parts))
    assert [sign for sign in words_of(caption) if sign in "ab"] == [sign for sign in caption if sign in "ab"]
