"""Tests of lora_widgets/widgets/mistake.py."""

from lora_widgets.widgets.mistake import mistake_html


def raised(error):
    try:
        raise error
    except ValueError as caught:
        return caught


def test_it_says_what_happened_and_what_to_do():
    text = mistake_html(raised(ValueError("no <b>luck</b>")))
    assert 'role="alert"' in text
    assert "ValueError: no &lt;b&gt;luck&lt;/b&gt;" in text
    assert "What you entered is kept" in text
    assert "in raised" in text  # the traceback


def test_a_long_message_stays_readable():
    assert len(mistake_html(raised(ValueError("x" * 1_000_000)))) < 20_000
