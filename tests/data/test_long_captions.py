import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.data.captions import compose_kept
from lora_widgets.data.facts import facts_for
from lora_widgets.data.image_file import ImageFile
from lora_widgets.data.long_captions import full_caption, long_captions
from lora_widgets.data.subset import Subset
from lora_widgets.data.tokens import count_tokens, find_tokenizer


@pytest.fixture
def image_of(make_settings):
    """A picture with these caption lines, whose folder has its own settings."""

    def make(name, *lines, **changes):
        subset = Subset(Path("10_cat"), 10, "cat", make_settings(**changes))
        return ImageFile(Path("10_cat") / name, (64, 64), lines, 10, subset)

    return make


def test_only_captions_of_more_than_75_tokens_are_listed_the_longest_first(image_of):
    images = [image_of(f"{count}.png", " ".join(["circle"] * count)) for count in (75, 76, 151, 3, 300)]
    found = long_captions(images, "demo", None)
    assert [(long.picture, long.tokens, len(long.beyond)) for long in found] == [
        ("300.png", 300, 3),
        ("151.png", 151, 2),
        ("76.png", 76, 1),
    ]


def test_the_text_behind_each_cut_is_shown(image_of):
    caption = " ".join(["circle"] * 75) + ", a Red 🐱 " + " ".join(["creature"] * 80)
    (long,) = long_captions([image_of("a.png", caption)], "demo", None)
    first, second = long.beyond
    assert first.startswith("a Red 🐱 creature")
    assert first.endswith("…")
    assert len(first) <= 41
    assert second.startswith("creature creature")


def test_captions_are_measured_as_they_will_be_encoded_with_the_settings_of_their_folder(image_of):
    text = " ".join(["circle"] * 75)
    assert long_captions([image_of("a.png", text)], "demo", None) == ()
    (long,) = long_captions([image_of("a.png", text, caption_suffix="red")], "demo", None)
    assert (long.tokens, long.beyond) == (76, ("red",))
    separated = " ".join(["circle"] * 75) + "|||"
    assert long_captions([image_of("a.png", separated, keep_tokens_separator="|||")], "demo", None) == ()


def test_brackets_that_give_weights_are_no_tokens(image_of):
    text = "(circle:1.2) " * 75
    assert long_captions([image_of("a.png", text, weighted_captions=True)], "demo", None) == ()
    (long,) = long_captions([image_of("a.png", text)], "demo", None)
    assert long.tokens > 300


def test_without_a_tokenizer_nothing_is_claimed(image_of):
    assert long_captions([image_of("a.png", "circle " * 200)], "owner/never-downloaded", None) == ()


def test_facts_hold_the_long_captions(tmp_path, make_picture, make_settings):
    make_picture(tmp_path / "a.png", (64, 64), caption="circle " * 100)
    make_picture(tmp_path / "b.png", (64, 64), caption="circle")
    settings = make_settings(train_data_dir=str(tmp_path), pretrained_model_name_or_path="demo")
    (long,) = facts_for(settings).facts.long_captions
    assert (long.picture, long.tokens) == ("a.png", 100)


tags = st.lists(st.sampled_from(["red", "a blixo", "{x|circle|a}", "k ||| m", "p;q", ""]), max_size=8)


@given(
    tags.map(", ".join),
    st.booleans(),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_no_draw_has_more_tokens_than_the_full_caption(make_settings, line, shuffle, rate, wildcard, seed):
    settings = make_settings(
        shuffle_caption=shuffle,
        caption_tag_dropout_rate=rate,
        enable_wildcard=wildcard,
        keep_tokens_separator="|||",
        secondary_separator=";",
    )
    tokenizer, full = find_tokenizer("demo", None), full_caption([line], settings)
    drawn = compose_kept([line], settings, random.Random(seed))
    assert count_tokens(tokenizer, drawn) <= count_tokens(tokenizer, full)


def test_of_several_lines_and_alternatives_the_longest_counts(make_settings):
    settings = make_settings(enable_wildcard=True)
    assert full_caption(["a", "a {red|light blue} circle", "b"], settings) == "a light blue circle"
