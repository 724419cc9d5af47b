"""Folder names against recorded ones of kohya-ss/sd-scripts (golden/dataset_files.json), and nesting."""

import json
from pathlib import Path

import pytest

from lora_widgets.data.layout import MAX_REPEATS, find_layout, named, repeats_of
from lora_widgets.data.scan import scan
from lora_widgets.errors import DatasetError

SD_SCRIPTS_FOLDERS = (
    "10_sks dog",
    "3_cat",
    "abc",
    "5_",
    "_x",
    "07_padded name",
    "2_a_b_c",
    "1.5_f",
    " 4_space",
)


@pytest.fixture
def fill(tmp_path, make_picture):
    """Make folders that hold a picture with a caption each."""

    def make_folders(*names):
        for name in names:
            make_picture(tmp_path / name / f"{Path(name).name}.png", caption="cat")
        return tmp_path

    return make_folders


def subsets(folder, settings):
    layout = find_layout(folder, settings, setting="train_data_dir")
    return {s.subset.folder.name: (s.subset.repeats, s.subset.class_tokens) for s in layout.sources}, layout


def found(result):
    return [(image.path.name, image.repeats) for image in result.images]


def test_names_are_read_as_sd_scripts_reads_them(fill, make_settings, golden_folder):
    recorded = json.loads((golden_folder / "dataset_files.json").read_text(encoding="utf-8"))["subdirs"]
    expected = {
        row["image_dir"].removeprefix("train/"): (row["num_repeats"], row["class_tokens"])
        for row in recorded
        if row["image_dir"].startswith("train/")
    }
    actual, layout = subsets(fill(*SD_SCRIPTS_FOLDERS, "-1_neg"), make_settings(num_repeats=9))
    assert {name: row for name, row in actual.items() if name in expected} == expected
    # Those without a number, which sd-scripts ignores, are used; those below 1, which it drops, are named.
    assert {name for name in actual if name not in expected} == {"abc", "_x", "1.5_f"}
    assert any("-1_neg is left out: its name says -1 repeats" in note for note in layout.notes)


def test_dates_are_no_repeats(fill, make_settings):
    actual, layout = subsets(fill("20240131_holidays", "2_cat"), make_settings(num_repeats=3))
    assert actual == {"20240131_holidays": (3, ""), "2_cat": (2, "cat")}
    assert "begins with a number above 100000" in layout.notes[0]
    assert repeats_of(f"{MAX_REPEATS}_x") == MAX_REPEATS


def test_pictures_below_a_subset_are_used_only_on_request(fill, make_settings):
    folder = fill("2_cat", "2_cat/deep", "2_cat/deep/5_deeper")
    settings = {"train_data_dir": str(folder), "num_repeats": 1}
    alone = scan(make_settings(**settings))
    assert found(alone) == [("2_cat.png", 2)]
    assert "within 2_cat are not used: deep. Turn on `nested_folders`" in alone.notes[0]
    nested = scan(make_settings(**settings, nested_folders=True))
    assert found(nested) == [("2_cat.png", 2), ("deep.png", 2), ("5_deeper.png", 2)]
    assert "have no effect: 5_deeper." in nested.notes[0]


def test_nested_folders_without_a_number_are_one_subset(fill, make_settings):
    folder = fill("cats/young", "dogs")
    result = scan(make_settings(train_data_dir=str(folder), num_repeats=4, nested_folders=True))
    assert found(result) == [("young.png", 4), ("dogs.png", 4)]
    assert {image.subset.folder for image in result.images} == {folder}
    assert result.notes == ()


def test_nothing_in_reach_says_how_to_reach_further(fill, make_settings):
    folder = fill("set/cats/young")
    with pytest.raises(DatasetError, match="With `nested_folders` on, folders further down"):
        scan(make_settings(train_data_dir=str(folder)))


@pytest.mark.parametrize("nested", [False, True])
def test_links_back_to_the_data_set_give_no_picture_twice(fill, make_settings, make_picture, nested):
    folder = fill("2_cat", "3_dog")
    make_picture(folder / "loose.png")
    (folder / "loop").symlink_to(folder)
    (folder / "3_dog" / "side").symlink_to(folder / "2_cat")
    (folder / "4_again").symlink_to(folder / "3_dog")
    result = scan(make_settings(train_data_dir=str(folder), nested_folders=nested))
    assert found(result) == [("2_cat.png", 2), ("3_dog.png", 3)]
    notes = " ".join(result.notes)
    assert ("Turn on `nested_folders`" in notes) == (not nested)
    for name in ("loop", "4_again", *(["side"] if nested else [])):
        assert str(folder / name) in notes or str(folder / "3_dog" / name) in notes


def test_link_to_a_folder_elsewhere_is_a_folder(fill, make_settings):
    folder = fill("set/1_cat", "elsewhere")
    (folder / "set" / "5_dog").symlink_to(folder / "elsewhere")
    result = scan(make_settings(train_data_dir=str(folder / "set")))
    assert found(result) == [("1_cat.png", 1), ("elsewhere.png", 5)]


def test_unreadable_folder_costs_only_itself(fill, make_settings, deny):
    folder = fill("1_cat", "2_dog")
    deny(folder / "2_dog")
    result = scan(make_settings(train_data_dir=str(folder)))
    assert found(result) == [("1_cat.png", 1)]
    assert [skipped.path.name for skipped in result.skipped] == ["2_dog"]
    deny(folder / "1_cat")
    with pytest.raises(DatasetError, match=r"What cannot be used: 1_cat: the folder cannot be listed"):
        scan(make_settings(train_data_dir=str(folder)))
    deny(folder)
    with pytest.raises(
        DatasetError, match=r"`train_data_dir` is .*: the folder cannot be listed \(Permission"
    ):
        scan(make_settings(train_data_dir=str(folder)))


def test_unusable_files_of_a_folder_without_pictures_are_named(fill, make_settings, make_picture):
    folder = fill("1_cat")
    make_picture(folder / "2_dog" / "moving.gif")
    make_picture(folder / "loose.gif")
    result = scan(make_settings(train_data_dir=str(folder)))
    assert [skipped.path.name for skipped in result.skipped] == ["loose.gif", "moving.gif"]
    assert "hold no pictures: 2_dog" in result.notes[0]
    with pytest.raises(DatasetError, match=r"What cannot be used: moving\.gif: \.gif pictures are not read"):
        scan(make_settings(train_data_dir=str(folder / "2_dog")))


def test_long_lists_of_names_are_cut():
    assert named("abc") == "a, b, c"
    assert named(str(number) for number in range(7)) == "0, 1, 2, 3, 4 and 2 more"
