"""What is said about captions that are longer than the limit."""

import pytest
from situations import finding_of


def said(limit, *lengths, family="SD1.5"):
    rows = [
        {"picture": f"{number}.png", "tokens": tokens, "beyond": ["b", "c", "d"][: (tokens - 1) // 75]}
        for number, tokens in enumerate(lengths)
    ]
    facts = {"dataset": {"images": 9, "bucket_counts": [9], "long_captions": rows}}
    return finding_of("captions_cut", {"model_type": family, "max_token_length": limit}, facts)


@pytest.mark.parametrize(
    ("limit", "lengths", "fixed"),
    [(75, (76,), 150), (75, (150,), 150), (75, (151, 80), 225), (150, (225, 80), 225)],
)
def test_the_shortest_limit_that_holds_all_is_offered(limit, lengths, fixed):
    assert said(limit, *lengths).fix.changes == {"max_token_length": fixed}


@pytest.mark.parametrize(("limit", "lengths"), [(75, ()), (150, (150, 76)), (225, (225,))])
def test_captions_that_fit_are_no_finding(limit, lengths):
    assert said(limit, *lengths) is None


def test_nothing_is_said_of_clips_limit_where_t5_reads():
    assert said(75, 240, family="Flux") is None


def test_only_the_captions_beyond_the_limit_are_counted_and_the_cut_is_shown():
    message = said(150, 170, 160, 90).message
    assert "2 captions are longer" in message
    assert "0.png, has 170 tokens and is cut before 'c'" in message


def test_no_limit_holds_a_caption_of_more_than_225_tokens():
    low, high = said(75, 240), said(225, 240)
    assert low.fix is high.fix is None
    assert low.remedy.startswith("Set it to 225, which is the most, and shorten captions")
    assert high.remedy.startswith("Shorten captions of more than 225 tokens")
