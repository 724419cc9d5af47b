"""The caption pipeline against recorded outputs of kohya-ss/sd-scripts (tests/golden/captions.json.xz)."""

import json
import lzma
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.config.captions import captions_vary
from lora_widgets.data.captions import (
    CLOSING,
    OPENING,
    captions_drop,
    choose_wildcards,
    compose,
    compose_kept,
    decorate,
    drop_tags,
    is_dropped,
    split_by_count,
    split_by_keep_separator,
)

GOLDEN = json.loads(
    lzma.decompress((Path(__file__).parent.parent / "golden" / "captions.json.xz").read_bytes())
)
CASES = {case["name"]: case for case in GOLDEN["cases"]}
DEFAULTS = GOLDEN["header"]["notes"]["defaults"]
words = st.text("abcdefgh ", min_size=1, max_size=6).map(str.strip).filter(bool)
tag_lists = st.lists(words, min_size=1, max_size=8)


class Untouchable(random.Random):
    def random(self):
        raise AssertionError("a caption that does not vary draws nothing")

    def getrandbits(self, count):
        raise AssertionError("a caption that does not vary draws nothing")


def golden_settings(case) -> SimpleNamespace:
    options = {**DEFAULTS, **case["options"]}
    return SimpleNamespace(**{name: "" if value is None else value for name, value in options.items()})


def decorated_line_by_line(case, caption) -> bool:
    """The reference puts prefix and suffix around the lines as a whole; ours around each line."""
    return "\n" in caption and bool(case["options"].keys() & {"caption_prefix", "caption_suffix"})


@pytest.mark.parametrize("name", CASES)
def test_results_are_those_of_the_reference(name):
    case = CASES[name]
    settings, epoch = golden_settings(case), case["state"]["epoch"]
    for index, expected in case["deterministic"].items():
        caption = GOLDEN["captions"][int(index)]
        if not decorated_line_by_line(case, caption):
            result = compose(caption.split("\n"), settings, random.Random(0), epoch=epoch)
            assert result == (caption if expected is None else expected)
    for index, by_seed, _ in case["random"]:
        caption = GOLDEN["captions"][index]
        for seed, expected in enumerate(by_seed):
            result = compose(caption.split("\n"), settings, random.Random(seed), epoch=epoch)
            assert result == (caption if expected is None else expected)


def common_start(lists):
    """Return what all lists begin with."""
    shortest = min(lists, key=len)
    length = next(
        (n for n, tag in enumerate(shortest) if any(tags[n] != tag for tags in lists)), len(shortest)
    )
    return shortest[:length]


def statistics_of(results) -> dict:
    """Compute what was recorded over 400 seeds."""
    filled = [result.split(", ") for result in results if result]
    counts = Counter(tag for tags in filled for tag in tags)
    return {
        "p_empty": results.count("") / len(results),
        "n_distinct": len(set(results)),
        "outcomes": {outcome: count / len(results) for outcome, count in Counter(results).items()},
        "prefix_tokens": common_start(filled) if filled else [],
        "suffix_tokens": common_start([tags[::-1] for tags in filled])[::-1] if filled else [],
        "mean_count_when_not_empty": {tag: count / len(filled) for tag, count in counts.items()},
        "same_multiset_always": len({tuple(sorted(result.split(", "))) for result in results}) == 1,
    }


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["random"]])
def test_frequencies_and_invariants_are_those_of_the_reference(name):
    case = CASES[name]
    settings, epoch = golden_settings(case), case["state"]["epoch"]
    for index, _, recorded in case["random"]:
        caption = GOLDEN["captions"][index]
        if decorated_line_by_line(case, caption):
            continue
        lines = caption.split("\n")
        ours = statistics_of([compose(lines, settings, random.Random(s), epoch=epoch) for s in range(400)])
        for statistic, value in recorded.items():
            if isinstance(value, float | dict):
                assert ours[statistic] == pytest.approx(value, abs=0.006), (caption, statistic)
            else:
                assert ours[statistic] == value, (caption, statistic)


@given(tag_lists, st.integers(0, 10), st.integers(0, 2**32), st.sampled_from([0.0, 0.5, 1.0]))
def test_fixed_tags_stay_first_and_in_order(make_settings, tags, keep, seed, rate):
    settings = make_settings(shuffle_caption=True, keep_tokens=keep, caption_tag_dropout_rate=rate)
    result = compose([", ".join(tags)], settings, random.Random(seed), epoch=1)
    kept = result.split(", ") if result else []
    assert kept[: len(tags[:keep])] == tags[:keep]
    assert not Counter(kept) - Counter(tags)
    if rate == 0:
        assert Counter(kept) == Counter(tags)


@given(tag_lists, tag_lists, tag_lists, st.booleans(), st.integers(0, 2**32))
def test_keep_separator_is_always_taken_out(make_settings, first, middle, last, shuffle, seed):
    settings = make_settings(shuffle_caption=shuffle, keep_tokens_separator="|||")
    caption = " ||| ".join(", ".join(part) for part in (first, middle, last))
    tags = compose([caption], settings, random.Random(seed), epoch=1).split(", ")
    assert "|||" not in tags
    assert tags[: len(first)] == first
    assert tags[-len(last) :] == last
    assert sorted(tags) == sorted(first + middle + last)
    if not shuffle:
        assert tags == first + middle + last


@given(st.lists(st.text(max_size=20), max_size=3), st.integers(0, 2**32), st.integers(1, 9))
def test_any_text_gives_a_caption(make_settings, lines, seed, epoch):
    settings = make_settings(
        shuffle_caption=True,
        enable_wildcard=True,
        keep_tokens_separator="|||",
        secondary_separator=";",
        caption_tag_dropout_rate=0.3,
    )
    assert isinstance(compose(lines, settings, random.Random(seed), epoch=epoch), str)


def test_prefix_and_suffix_surround_every_line(make_settings):
    settings = make_settings(caption_prefix="PRE,", caption_suffix=", SUF", enable_wildcard=True)
    results = {compose(["a", "b"], settings, random.Random(seed), epoch=1) for seed in range(20)}
    assert results == {"PRE, a , SUF", "PRE, b , SUF"}


def test_prefix_goes_with_a_dropped_caption(make_settings):
    settings = make_settings(caption_prefix="PRE,", caption_dropout_rate=1.0)
    assert compose(["a"], settings, random.Random(0), epoch=1) == ""


def test_every_second_epoch_is_without_captions_counting_from_one(make_settings):
    settings = make_settings(caption_dropout_every_n_epochs=2)
    assert [compose(["a"], settings, random.Random(0), epoch=e) for e in (1, 2, 3, 4)] == ["a", "", "a", ""]


@given(st.lists(st.text("ab,|{} ", max_size=9), max_size=4), st.booleans(), st.integers(0, 2**32))
def test_further_lines_change_nothing_without_wildcards(make_settings, lines, shuffle, seed):
    settings = make_settings(shuffle_caption=shuffle, caption_suffix=", s", keep_tokens_separator="|||")
    whole, first = (compose(some, settings, random.Random(seed), epoch=1) for some in (lines, lines[:1]))
    assert whole == first


def test_only_the_first_line_counts_without_wildcards(make_settings):
    results = {compose(["a {b|c}", "d"], make_settings(), random.Random(s), epoch=1) for s in range(20)}
    assert results == {"a {b|c}"}


def test_wildcards_choose_and_doubled_braces_are_literal():
    results = {choose_wildcards("{red|blue} {{x}} cat", random.Random(seed)) for seed in range(20)}
    assert results == {"red {x} cat", "blue {x} cat"}


@given(st.lists(words | st.lists(words, min_size=1, max_size=3), max_size=5), st.integers(0, 2**32))
def test_each_wildcard_becomes_one_of_its_alternatives_in_place(parts, seed):
    template = ".".join(part if isinstance(part, str) else "{" + "|".join(part) + "}" for part in parts)
    chosen = choose_wildcards(template, random.Random(seed)).split(".") if parts else []
    for part, result in zip(parts, chosen, strict=True):
        assert result in ([part] if isinstance(part, str) else part)


@given(st.text(max_size=30).filter(lambda text: not {"{", "}", OPENING, CLOSING} & set(text)))
def test_text_without_braces_has_no_wildcards(text):
    assert choose_wildcards(text, Untouchable()) == text
    assert choose_wildcards("{{" + text + "}}", Untouchable()) == "{" + text + "}"


@given(st.lists(st.text("ab \t", max_size=4), max_size=6), st.integers(0, 8), st.sampled_from([",", ";"]))
def test_splitting_by_count_keeps_every_tag_in_order(tags, keep, separator):
    split = split_by_count(separator.join(tags), keep, separator=separator)
    assert len(split.fixed) == min(keep, max(1, len(tags)))
    assert [*split.fixed, *split.flexible] == [tag.strip() for tag in tags or [""]]
    assert split.last == []


@given(st.lists(st.lists(st.text("ab ", max_size=4), max_size=4), min_size=1, max_size=4))
def test_splitting_by_separator_makes_three_parts_without_empty_tags(parts):
    split = split_by_keep_separator("|".join(",".join(part) for part in parts), "|", separator=",")
    expected = [[tag.strip() for tag in part if tag.strip()] for part in parts]
    assert [split.fixed, split.flexible] == [*expected, []][:2]
    assert len(split.last) == sum(len(part) for part in expected[2:]) or len(parts) > 3


@given(tag_lists, st.floats(0, 1), st.integers(0, 2**32))
def test_dropping_leaves_tags_in_order(tags, rate, seed):
    left = drop_tags(tags, rate, random.Random(seed))
    remaining = iter(tags)
    assert all(tag in remaining for tag in left)
    assert drop_tags(tags, 0.0, Untouchable()) == tags
    assert drop_tags(tags, 1.0, random.Random(seed)) == []


@given(st.text("ab, ", max_size=8), st.text("pq,", max_size=4), st.text("xy,", max_size=4))
def test_prefix_and_suffix_stand_apart_by_one_blank(line, prefix, suffix):
    parts = [part for part in (prefix, suffix) if part]
    decorated = decorate(line, prefix=prefix, suffix=suffix)
    assert decorated.startswith(f"{prefix} {line}" if prefix else line)
    assert decorated.endswith(f"{line} {suffix}" if suffix else line)
    assert len(decorated) == len(line) + sum(len(part) + 1 for part in parts)


@given(st.integers(0, 5), st.integers(1, 20), st.integers(0, 2**32))
def test_captions_are_dropped_by_rate_or_epoch(make_settings, every, epoch, seed):
    by_epoch = make_settings(caption_dropout_every_n_epochs=every)
    assert is_dropped(by_epoch, Untouchable(), epoch=epoch) == (every > 0 and epoch % every == 0)
    always = make_settings(caption_dropout_every_n_epochs=every, caption_dropout_rate=1.0)
    assert is_dropped(always, random.Random(seed), epoch=epoch)


def test_tags_bound_by_the_secondary_separator_stay_together(make_settings):
    settings = make_settings(shuffle_caption=True, secondary_separator=";")
    results = {compose(["t, a;b;c, d"], settings, random.Random(s), epoch=1) for s in range(50)}
    assert len(results) == 6
    assert all("a,b,c" in result for result in results)


def test_no_lines_give_the_empty_caption(make_settings):
    assert compose([], make_settings(enable_wildcard=True), random.Random(0), epoch=1) == ""


@pytest.mark.parametrize(
    ("changes", "vary", "drop"),
    [
        ({}, False, False),
        ({"shuffle_caption": True}, True, False),
        ({"enable_wildcard": True}, True, False),
        ({"caption_tag_dropout_rate": 0.1}, True, False),
        ({"caption_dropout_rate": 0.1}, False, True),
        ({"caption_dropout_every_n_epochs": 3}, False, True),
    ],
)
def test_what_varies_and_what_drops(make_settings, changes, vary, drop):
    settings = make_settings(**changes)
    assert (captions_vary(settings), captions_drop(settings)) == (vary, drop)


def test_captions_that_do_not_vary_draw_nothing(make_settings):
    settings = make_settings(keep_tokens_separator="|||", caption_prefix="p,", caption_dropout_rate=0.5)
    assert compose_kept(["a ||| b", "c"], settings, Untouchable()) == "p, a, b"
