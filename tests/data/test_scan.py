import shutil

import pytest

from lora_widgets.data.scan import scan
from lora_widgets.errors import DatasetError


def found(result):
    return [(image.folder, image.path.name, image.repeats, image.captions) for image in result.images]


def test_flat_folder_uses_num_repeats(tmp_path, make_picture, make_settings):
    make_picture(tmp_path / "b.png", (40, 30), caption="a cat\nwith hat")
    make_picture(tmp_path / "a.jpg", (20, 30))
    result = scan(make_settings(train_data_dir=str(tmp_path), num_repeats=7))
    assert found(result) == [
        (tmp_path.name, "a.jpg", 7, ("",)),
        (tmp_path.name, "b.png", 7, ("a cat", "with hat")),
    ]
    assert [image.size for image in result.images] == [(20, 30), (40, 30)]
    assert result.without_caption == 1
    assert result.skipped == ()
    assert result.notes == (
        f"No caption file for 1 picture in {tmp_path.name}, so the pictures are trained without a caption: "
        "a.jpg.",
    )


def test_numbered_folders_give_repeats_and_class_tokens(tmp_path, make_picture, make_settings):
    make_picture(tmp_path / "3_my cat" / "a.png")
    make_picture(tmp_path / "3_my cat" / "b.png", caption="sleeping")
    make_picture(tmp_path / "12_dog" / "c.png")
    make_picture(tmp_path / "others" / "d.png")
    result = scan(make_settings(train_data_dir=str(tmp_path), num_repeats=5))
    assert found(result) == [
        ("12_dog", "c.png", 12, ("dog",)),
        ("3_my cat", "a.png", 3, ("my cat",)),
        ("3_my cat", "b.png", 3, ("sleeping",)),
        ("others", "d.png", 5, ("",)),
    ]
    assert result.without_caption == 1, "class tokens are a caption"
    assert result.notes == (
        "The folder others has no number of repeats in its name, so `num_repeats` (5) is used.",
        "No caption file for 1 picture in 12_dog, so 'dog' is used: c.png.",
        "No caption file for 1 picture in 3_my cat, so 'my cat' is used: a.png.",
        "No caption file for 1 picture in others, so the pictures are trained without a caption: d.png.",
    )


def test_what_folder_mode_leaves_aside_is_noted(tmp_path, make_picture, make_settings):
    make_picture(tmp_path / "1_cat" / "a.png")
    make_picture(tmp_path / "0_off" / "b.png")
    make_picture(tmp_path / "loose.png")
    (tmp_path / "5_empty").mkdir()
    result = scan(make_settings(train_data_dir=str(tmp_path)))
    assert [image.path.name for image in result.images] == ["a.png"]
    assert [any(name in note for note in result.notes) for name in ("0_off", "loose.png", "5_empty")] == [
        True
    ] * 3


def test_what_flat_mode_leaves_aside_is_noted(tmp_path, make_picture, make_settings):
    folder = tmp_path / "10_cat"
    make_picture(folder / "a.png", caption="cat")
    make_picture(folder / "more" / "b.png")
    result = scan(make_settings(train_data_dir=str(folder), num_repeats=3))
    assert [image.repeats for image in result.images] == [3]
    assert len(result.notes) == 2
    assert "10 repeats" in result.notes[0]
    assert "more" in result.notes[1]
    assert "10_cat" not in " ".join(
        scan(make_settings(train_data_dir=str(folder), num_repeats=10)).notes[:-1]
    )


def test_hidden_folders_and_files_are_ignored(tmp_path, make_picture, make_settings):
    make_picture(tmp_path / "a.png", caption="cat")
    (tmp_path / "._a.png").write_bytes(b"resource fork")
    make_picture(tmp_path / ".ipynb_checkpoints" / "a-checkpoint.png")
    make_picture(tmp_path / "__MACOSX" / "x.png")
    result = scan(make_settings(train_data_dir=str(tmp_path)))
    assert [image.path.name for image in result.images] == ["a.png"]
    assert result.skipped == ()
    assert result.notes == ()


@pytest.mark.parametrize("name", ["a.PNG", "a.Jpg", "a.JPEG", "a.WebP"])
def test_extensions_in_any_letter_case(tmp_path, make_picture, make_settings, name):
    make_picture(tmp_path / name, caption="cat")
    result = scan(make_settings(train_data_dir=str(tmp_path)))
    assert [(image.path.name, image.captions) for image in result.images] == [(name, ("cat",))]


def test_every_unusable_file_is_named_with_its_reason(tmp_path, make_picture, make_settings):
    make_picture(tmp_path / "good.png", caption="cat")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("hello")
    cut = make_picture(tmp_path / "cut.webp", (64, 64))
    cut.write_bytes(cut.read_bytes()[:200])
    make_picture(tmp_path / "moving.gif")
    make_picture(tmp_path / "latin.png").with_suffix(".txt").write_bytes(b"caf\xe9")
    result = scan(make_settings(train_data_dir=str(tmp_path)))
    assert [image.path.name for image in result.images] == ["good.png"]
    reasons = {skipped.path.name: skipped.reason for skipped in result.skipped}
    assert set(reasons) == {"empty.png", "text.jpg", "cut.webp", "moving.gif", "latin.png"}
    assert "empty" in reasons["empty.png"]
    assert "not a picture" in reasons["text.jpg"]
    assert "damaged" in reasons["cut.webp"]
    assert "convert" in reasons["moving.gif"]
    assert "latin.txt is not UTF-8" in reasons["latin.png"]


def test_pictures_that_share_a_caption_file_are_noted(tmp_path, make_picture, make_settings):
    make_picture(tmp_path / "a.png")
    make_picture(tmp_path / "a.jpg", caption="cat")
    result = scan(make_settings(train_data_dir=str(tmp_path)))
    assert [image.captions for image in result.images] == [("cat",), ("cat",)]
    assert "a.jpg and a.png" in result.notes[0]


def test_empty_caption_files_are_noted_and_replaced(tmp_path, make_picture, make_settings):
    make_picture(tmp_path / "2_cat" / "a.png", caption=" \n\n")
    result = scan(make_settings(train_data_dir=str(tmp_path)))
    assert result.images[0].captions == ("cat",)
    assert result.without_caption == 0
    assert "a.txt" in result.notes[0]
    assert "'cat' is used" in result.notes[0]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda folder: None, "does not exist"),
        (lambda folder: folder.mkdir(), "no pictures were found"),
        (lambda folder: folder.write_text("x"), "is a file"),
    ],
)
def test_folders_that_cannot_work_are_explained(tmp_path, make_settings, make, expected):
    folder = tmp_path / "pictures"
    make(folder)
    with pytest.raises(DatasetError, match=expected) as caught:
        scan(make_settings(train_data_dir=str(folder)))
    assert "train_data_dir" in str(caught.value)
    assert str(folder) in str(caught.value)


def test_empty_setting_is_explained(make_settings):
    with pytest.raises(DatasetError, match="`train_data_dir` is empty"):
        scan(make_settings(train_data_dir="  "))


def test_pictures_one_level_too_deep_are_pointed_out(tmp_path, make_picture, make_settings):
    make_picture(tmp_path / "cats" / "a.png")
    with pytest.raises(DatasetError, match=r"cats.*10_cats"):
        scan(make_settings(train_data_dir=str(tmp_path)))


def test_folder_of_unusable_pictures_is_an_error_that_says_why(tmp_path, make_settings):
    for number in range(8):
        (tmp_path / f"{number}.png").touch()
    with pytest.raises(DatasetError, match=r"0\.png: the file is empty.*and 3 more"):
        scan(make_settings(train_data_dir=str(tmp_path)))


def test_order_depends_on_names_only(tmp_path, make_picture, make_settings):
    names = ["b.png", "a.png", "C.png", "10.png", "9.png"]
    for name in names:
        make_picture(tmp_path / "one" / name)
    (tmp_path / "two").mkdir()
    for name in reversed(names):
        shutil.copy(tmp_path / "one" / name, tmp_path / "two" / name)
    orders = [
        [image.path.name for image in scan(make_settings(train_data_dir=str(tmp_path / folder))).images]
        for folder in ("one", "two")
    ]
    assert orders[0] == orders[1] == sorted(names)


def test_home_folder_sign_is_understood(tmp_path, make_picture, make_settings, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    make_picture(tmp_path / "cats" / "a.png")
    assert len(scan(make_settings(train_data_dir="~/cats")).images) == 1
