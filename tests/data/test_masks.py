import pytest
from PIL import Image

from lora_widgets.data.scan import scan
from lora_widgets.errors import DatasetError


@pytest.fixture
def masked(tmp_path, make_picture, make_settings):
    """Scan pictures with masks; a name that begins with masks/ is a mask."""

    def make(*names, train="train", **changes):
        for name in names:
            make_picture(tmp_path / name, caption=None if name.startswith("masks") else "cat")
        (tmp_path / "masks").mkdir(exist_ok=True)
        changes = {
            "train_data_dir": str(tmp_path / train),
            "mask_data_dir": str(tmp_path / "masks"),
            **changes,
        }
        return scan(make_settings(**changes))

    return make


def masks(result, tmp_path):
    return {
        image.path.name: image.mask and image.mask.relative_to(tmp_path / "masks").as_posix()
        for image in result.images
    }


def test_mask_has_the_name_of_its_picture_and_any_extension(masked, tmp_path):
    result = masked("train/a.png", "train/b.jpg", "train/c.png", "masks/a.png", "masks/b.webp", "masks/x.png")
    assert masks(result, tmp_path) == {"a.png": "a.png", "b.jpg": "b.webp", "c.png": None}
    assert result.notes == ("No mask for 1 picture, which count whole: c.png.",)


def test_masks_lie_like_the_pictures_or_flat(masked, tmp_path):
    result = masked(
        "train/2_cat/a.png",
        "train/2_cat/deep/b.png",
        "train/3_dog/c.png",
        "masks/2_cat/a.png",
        "masks/deep/b.png",
        "masks/a.png",
        "masks/c.png",
        nested_folders=True,
    )
    assert masks(result, tmp_path) == {"a.png": "2_cat/a.png", "b.png": "deep/b.png", "c.png": "c.png"}
    assert result.notes == ()


def test_pictures_that_share_a_mask_are_named(masked):
    result = masked("train/a.png", "train/deep/a.png", "masks/a.png", nested_folders=True)
    assert any("share a mask: a.png for a.png and a.png" in note for note in result.notes)


def test_no_mask_at_all_says_how_one_would_be_called(masked):
    result = masked("train/a.jpg", "masks/a_mask.png")
    assert "No picture of train has a mask" in result.notes[0]
    assert "The mask of a.jpg would be called a.png" in result.notes[0]


def test_unreadable_mask_costs_its_picture_alone(masked, tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").touch()
    result = masked("train/a.png", "train/b.png", "masks/b.png")
    assert [image.path.name for image in result.images] == ["b.png"]
    assert [(skipped.path.name, skipped.reason) for skipped in result.skipped] == [
        (
            "a.png",
            "its mask a.png cannot be used: the file is empty (0 bytes); copy it again or delete the file",
        )
    ]


def test_regularisation_pictures_have_no_masks(masked, tmp_path):
    result = masked("train/a.png", "reg/a.png", "masks/a.png", reg_data_dir=str(tmp_path / "reg"))
    assert [image.mask is not None for image in result.images] == [True, False]


def test_mistakes_with_the_folder_are_explained(masked, tmp_path, deny):
    with pytest.raises(DatasetError, match=r"`mask_data_dir` is .*no folder\. Correct the path"):
        masked("train/a.png", mask_data_dir=str(tmp_path / "msaks"))
    with pytest.raises(DatasetError, match="holds the pictures themselves"):
        masked("train/a.png", mask_data_dir=str(tmp_path / "train"))
    deny(tmp_path / "masks")
    with pytest.raises(DatasetError, match=r"`mask_data_dir`: .*cannot be listed"):
        masked("train/a.png")


def test_transparency_as_mask_names_the_pictures_without(masked, tmp_path):
    (tmp_path / "train").mkdir()
    Image.new("RGBA", (8, 8)).save(tmp_path / "train" / "clear.png")
    Image.new("P", (8, 8)).save(tmp_path / "train" / "palette.png", transparency=0)
    result = masked("train/a.png", mask_data_dir=None, alpha_mask=True)
    assert "No transparency for `alpha_mask` in 1 picture, which count whole: a.png." in result.notes
    assert masked("train/a.png", mask_data_dir=None).notes == result.notes[:1]


def test_transparency_as_mask_says_when_there_is_none(masked):
    result = masked("train/a.png", "train/b.jpg", mask_data_dir=None, alpha_mask=True)
    assert result.notes == (
        "`alpha_mask` is on, but no picture of train has transparency, so all count whole.",
    )
