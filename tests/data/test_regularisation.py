from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.data.image_file import ImageFile
from lora_widgets.data.regularisation import balance, shared_repeats
from lora_widgets.data.scan import scan
from lora_widgets.data.subset import Subset
from lora_widgets.errors import DatasetError


def images(*rows):
    """Make pictures from (name, repeats, is_reg, part)."""
    made = []
    for name, repeats, is_reg, part in rows:
        subset = Subset(Path("x"), repeats, "", None, part=part, is_reg=is_reg)  # type: ignore[arg-type]
        made.append(ImageFile(Path(name), (8, 8), ("",), repeats, subset))
    return made


def repeats(balanced):
    return {image.path.name: image.repeats for image in balanced.images}


@pytest.mark.parametrize(
    ("given_repeats", "needed", "expected"),
    [
        ([1, 1, 1], 3, [1, 1, 1]),
        ([1, 1, 1], 8, [3, 3, 2]),  # two more rounds, the last one cut
        ([1, 1, 1, 1], 2, [1, 1, 0, 0]),  # the surplus is not used
        ([4, 4, 4], 10, [4, 4, 2]),
        ([2, 1], 10, [6, 4]),
        ([5], 0, [0]),
    ],
)
def test_repeats_are_raised_and_cut_in_turn(given_repeats, needed, expected):
    assert shared_repeats(given_repeats, needed) == expected


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(0, 2000))
def test_the_sum_is_what_is_needed_and_turns_differ_by_one(given_repeats, needed):
    result = shared_repeats(given_repeats, needed)
    assert sum(result) == needed
    more = [now - before for now, before in zip(result, given_repeats, strict=True)]
    assert max(more) <= 0 or (max(more) - min(more) <= 1 and more == sorted(more, reverse=True))


def test_each_part_is_balanced_by_itself_and_again_without_change():
    first = balance(
        images(
            ("a", 3, False, 0), ("r", 1, True, 0), ("b", 2, False, 1), ("s", 5, True, 1), ("c", 7, False, 2)
        )
    )
    assert repeats(first) == {"a": 3, "r": 3, "b": 2, "s": 2, "c": 7}
    assert balance(first.images) == first
    assert first.notes == ()


def test_after_pictures_have_gone_it_balances_what_is_left():
    balanced = balance(images(("a", 3, False, 0), ("b", 3, False, 0), ("r", 1, True, 0)))
    assert repeats(balanced) == {"a": 3, "b": 3, "r": 6}
    assert repeats(balance(balanced.images[1:])) == {"b": 3, "r": 3}


def test_surplus_is_not_used_and_counted():
    balanced = balance(images(("a", 2, False, 0), *((f"r{n}", 1, True, 0) for n in range(5))))
    assert repeats(balanced) == {"a": 2, "r0": 1, "r1": 1}
    assert (
        "3 of 5 regularisation pictures are not used, because the others are shown 2 times"
        in balanced.notes[0]
    )


def test_part_without_other_pictures_uses_none():
    balanced = balance(images(("a", 2, False, 0), ("r", 1, True, 1)))
    assert repeats(balanced) == {"a": 2}
    assert "no other pictures beside them" in balanced.notes[0]


def test_regularisation_folder_is_laid_out_like_the_other(tmp_path, make_picture, make_settings):
    for number in range(2):
        make_picture(tmp_path / "train" / "3_blixo cat" / f"{number}.png", caption="blixo")
    for number in range(4):
        make_picture(tmp_path / "reg" / "1_cat" / f"r{number}.png")
    result = scan(
        make_settings(
            train_data_dir=str(tmp_path / "train"), reg_data_dir=str(tmp_path / "reg"), num_repeats=1
        )
    )
    assert [(image.path.name, image.subset.is_reg, image.repeats) for image in result.images] == [
        ("0.png", False, 3),
        ("1.png", False, 3),
        ("r0.png", True, 2),
        ("r1.png", True, 2),
        ("r2.png", True, 1),
        ("r3.png", True, 1),
    ]
    assert result.images[-1].captions == ("cat",)
    assert len(result.parts) == 1


def test_flat_regularisation_folder(tmp_path, make_picture, make_settings):
    make_picture(tmp_path / "train" / "a.png", caption="blixo")
    make_picture(tmp_path / "reg" / "b.png", caption="cat")
    result = scan(
        make_settings(
            train_data_dir=str(tmp_path / "train"), reg_data_dir=str(tmp_path / "reg"), num_repeats=5
        )
    )
    assert [image.repeats for image in result.images] == [5, 5]


def test_mistakes_with_the_folder_are_explained(tmp_path, make_picture, make_settings):
    make_picture(tmp_path / "train" / "a.png", caption="blixo")
    folder = str(tmp_path / "train")
    with pytest.raises(DatasetError, match=r"`reg_data_dir` is .*does not exist"):
        scan(make_settings(train_data_dir=folder, reg_data_dir=str(tmp_path / "rge")))
    with pytest.raises(DatasetError, match="the same folder as `train_data_dir`"):
        scan(make_settings(train_data_dir=folder, reg_data_dir=f"{folder}/../train"))
    (tmp_path / "reg").mkdir()
    with pytest.raises(DatasetError, match=r"`reg_data_dir` is .*no pictures were found"):
        scan(make_settings(train_data_dir=folder, reg_data_dir=str(tmp_path / "reg")))


def test_regularisation_pictures_alone_are_no_data_set(tmp_path, make_picture, make_settings):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.png").touch()
    make_picture(tmp_path / "reg" / "b.png", caption="cat")
    with pytest.raises(DatasetError, match=r"no picture can be used. a\.png: the file is empty"):
        scan(make_settings(train_data_dir=str(tmp_path / "train"), reg_data_dir=str(tmp_path / "reg")))
