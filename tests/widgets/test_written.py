"""Tests of lora_widgets/widgets/written.py."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from lora_widgets.widgets.written import written


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (1024, "1024"),
        (8.0, "8"),
        (-0.5, "-0.5"),
        (5e-4, "0.0005"),
        (1e-5, "1e-5"),
        (1.5e-7, "1.5e-7"),
        (1e22, "1e22"),
        ("1e-4", "1e-4"),
        (Path("a") / "b", str(Path("a") / "b")),
        (SecretStr("key"), "key"),
        ("half \ud800 a sign", "half ? a sign"),
        (True, "True"),
    ],
)
def test_values_as_people_write_them(value, text):
    assert written(value) == text


@given(st.floats(allow_nan=False))
def test_a_number_is_read_as_it_was(number):
    assert float(written(number)) == number


@given(st.text())
def test_text_stays_and_can_be_sent(text):
    assert written(text) == text
    written(text).encode()


def test_arguments_become_json():
    assert json.loads(written({"betas": [0.9, 0.99]})) == {"betas": [0.9, 0.99]}
    assert "object" in written({"a": object()})


def test_a_number_with_thousands_of_digits_is_written():
    assert int(written(10**9000), 16) == 10**9000


@given(st.recursive(st.none() | st.binary() | st.integers(), lambda s: st.lists(s) | st.tuples(s)))
def test_nothing_raises(value):
    assert isinstance(written(value), str)
