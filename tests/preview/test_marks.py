"""Tests of lora_widgets/preview/marks.py and tags.py."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageFilter
from preview_folder import draw

from lora_widgets.data.image_file import ImageFile
from lora_widgets.preview.dry_run import all_badges, dry_run
from lora_widgets.preview.marks import Mark, badges_at_once, compare, enlargement
from lora_widgets.preview.small_pictures import Look, look_at
from lora_widgets.preview.tags import by_folder, most_frequent, tag_counts


def card_of(run, name):
    return next(card for card in run.cards if card.image.path.name == name)


def marks(run, name, compared=None):
    return [badge.mark for badge in all_badges(card_of(run, name), compared)]


def looked_at(run):
    return {card.number: look_at(card.image.path, 64) for card in run.cards}


def test_a_picture_that_is_fine_has_no_mark(make_config):
    run = dry_run(make_config())
    compared = compare(looked_at(run), run.names)
    assert marks(run, "0.png", compared) == []


def test_a_missing_caption_is_marked_with_what_stands_in_for_it(make_config):
    run = dry_run(make_config())
    assert marks(run, "plain.png") == [Mark.NO_CAPTION]
    assert "dog" in card_of(run, "plain.png").badges[0].reason


def test_small_pictures_and_large_cuts_are_marked_with_their_numbers(make_config, pictures):
    draw(pictures / "3_cat" / "tiny.png", (80, 80), caption="x")
    draw(pictures / "3_cat" / "half.png", (128, 128), caption="x")
    draw(pictures / "3_cat" / "wide.png", (3000, 200), caption="x")
    run = dry_run(make_config())
    assert marks(run, "tiny.png") == [Mark.TOO_SMALL]
    assert card_of(run, "tiny.png").badges[0].text == "enlarged 3.2×"
    assert marks(run, "half.png") == []  # exactly twice is not more than twice
    assert Mark.CUT in marks(run, "wide.png")


def test_a_picture_made_smaller_is_not_enlarged(make_config, pictures):
    draw(pictures / "3_cat" / "large.png", (1024, 1024), caption="x")
    card = card_of(dry_run(make_config()), "large.png")
    assert enlargement(card.image.size, card.placement) == 0.25


def test_copies_blurred_and_damaged_pictures_are_found_by_looking(make_config, pictures):
    with Image.open(pictures / "3_cat" / "2.png") as picture:
        picture.resize((270, 162)).save(pictures / "1_dog" / "copy.jpg")
    with Image.open(pictures / "3_cat" / "1.png") as picture:
        picture.filter(ImageFilter.GaussianBlur(20)).save(pictures / "1_dog" / "soft.png")
    run = dry_run(make_config())
    looks = looked_at(run)
    (pictures / "3_cat" / "0.png").unlink()
    gone = card_of(run, "0.png")
    looks[gone.number] = look_at(gone.image.path, 64)
    compared = compare(looks, run.names)
    assert Mark.DUPLICATE in marks(run, "copy.jpg", compared)
    assert Mark.DUPLICATE in marks(run, "2.png", compared)
    assert Mark.BLURRED in marks(run, "soft.png", compared)
    assert marks(run, "0.png", compared) == [Mark.DAMAGED]
    assert [[run.names[n] for n in group] for group in compared.groups] == [["copy.jpg", "2.png"]]


def test_masks_and_regularisation_are_marked_and_no_problem(make_config):
    card = card_of(dry_run(make_config()), "0.png")
    image = replace(card.image, mask=Path("0-mask.png"), subset=replace(card.image.subset, is_reg=True))
    badges = badges_at_once(image, card.placement, lost_tokens=0)
    assert [badge.mark for badge in badges] == [Mark.REGULARISATION, Mark.MASK]
    assert not any(badge.mark.is_problem for badge in badges)


def test_a_caption_that_is_cut_is_marked(make_config, pictures):
    (pictures / "3_cat" / "0.txt").write_text(", ".join(["red", "blue"] * 60))
    run = dry_run(make_config(pretrained_model_name_or_path="demo"))
    assert Mark.LONG_CAPTION in marks(run, "0.png")
    assert marks(run, "1.png") == []


@pytest.mark.parametrize("problem", ["", "gone"])
def test_nothing_is_compared_where_nothing_could_be_opened(problem):
    compared = compare({0: Look("", problem=problem), 1: Look("", problem=problem)}, {0: "a", 1: "b"})
    assert compared.groups == ()
    assert [len(badges) for badges in compared.badges.values()] == [bool(problem)] * 2


def test_tags_are_counted_once_per_picture_by_folder(make_config, pictures):
    (pictures / "3_cat" / "0.txt").write_text("Red, red , a\nother")
    run = dry_run(make_config())
    folders = by_folder(run.found.scan.images)
    assert list(folders) == ["1_dog", "3_cat"]
    counts = tag_counts(folders["3_cat"])
    assert (counts["red"], counts["a"], counts["other"]) == (1, 6, 0)
    wild = dry_run(make_config(enable_wildcard=True))
    assert tag_counts(by_folder(wild.found.scan.images)["3_cat"])["other"] == 1


def test_equally_frequent_tags_are_sorted_by_name():
    counts = Counter({"b": 2, "c": 5, "a": 2, "d": 1})
    assert most_frequent(counts, 3) == [("c", 5), ("a", 2), ("b", 2)]


def test_empty_tags_do_not_count(make_config):
    image = dry_run(make_config()).cards[0].image
    blank = ImageFile(image.path, image.size, (" , ,",), 1, image.subset)
    assert not tag_counts([blank])
