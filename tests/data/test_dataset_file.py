"""Dataset files against recorded fall-backs of sd-scripts (golden/dataset_files.json), and mistakes."""

import json
import tomllib

import pytest

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.dataset_keys import REFUSED, SETTING_OF
from lora_widgets.data.scan import scan
from lora_widgets.demo.config import demo_config
from lora_widgets.errors import DatasetError

# sd-scripts' defaults, where ours differ and they can be written in ours.
SD_DEFAULTS = {
    "num_repeats": 1,
    "train_batch_size": 1,
    "enable_bucket": False,
    "min_bucket_reso": 256,
    "max_bucket_reso": 1024,
    "caption_extension": ".caption",
    "shuffle_caption": False,
    "resolution": 512,
}
OPTION_NAMES = {"dataset_repeats": "num_repeats"}
NO_SETTINGS_HERE = ("color_aug", "face_crop_aug_range")
RECORDED_AS = {"resolution": "resolution_size", "batch_size": "train_batch_size"}


@pytest.fixture
def write(tmp_path, make_picture):
    """Write a dataset file beside the folders a and b, with a picture each, and return a configuration."""
    for name in ("a", "b"):
        make_picture(tmp_path / name / f"{name}.png", caption=f"a {name}")

    def make(toml: str, **changes) -> TrainingConfig:
        path = tmp_path / "set.toml"
        path.write_text(toml, encoding="utf-8")
        return demo_config(output_dir="x", dataset_config=str(path), **changes)

    return make


def options(argv):
    """Turn a recorded command line into settings of ours."""
    settings = {}
    for place, word in enumerate(argv):
        name = word.removeprefix("--")
        if not word.startswith("--") or name in NO_SETTINGS_HERE:
            continue
        has_value = place + 1 < len(argv) and not argv[place + 1].startswith("--")
        settings[OPTION_NAMES.get(name, name)] = argv[place + 1] if has_value else True
    return settings


def recorded(golden_folder):
    return json.loads((golden_folder / "dataset_files.json").read_text(encoding="utf-8"))["blueprints"]


def same(config, expected):
    """Compare what is recorded with the settings; None is sd-scripts' empty text."""
    for key, value in expected.items():
        name = RECORDED_AS.get(key, SETTING_OF.get(key))
        if name is None:
            continue
        actual = getattr(config, name)
        assert actual == (tuple(value) if isinstance(value, list) else "" if value is None else value), key


@pytest.mark.parametrize("number", [0, 1, 2, 8])
def test_fall_backs_are_those_of_sd_scripts(write, golden_folder, number):
    cases = recorded(golden_folder)
    first = cases[0]["blueprint"][0]
    result = scan(write(cases[number]["toml"], **{**SD_DEFAULTS, **options(cases[number]["argv"])}))
    expected_parts = cases[number]["blueprint"]
    assert len(result.parts) == len(expected_parts)
    for part, expected in enumerate(expected_parts):
        same(result.parts[part], {**first["params"], **expected["params"]})
        subsets = {
            image.subset.folder.name: image.subset for image in result.images if image.subset.part == part
        }
        assert len(subsets) == len(expected["subsets"])
        for row in expected["subsets"]:
            full = {**first["subsets"][0], **row}
            subset = subsets[full["image_dir"]]
            same(subset.settings, full)
            assert subset.repeats == full["num_repeats"]
            assert subset.is_reg == full["is_reg"]
            assert subset.class_tokens == (full["class_tokens"] or "")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (3, "`metadata_file` is 'm.json', but captions are read from files beside the pictures"),
        (4, "`custom_attributes` is"),
        (5, "`unknown_key` is no key of a dataset file. Remove it."),
        (6, "`num_repeats` is 'x', but must be a whole number"),
        (7, "`metadata_file`"),
    ],
)
def test_what_cannot_be_is_refused_with_file_table_and_key(write, golden_folder, tmp_path, number, words):
    case = recorded(golden_folder)[number]
    with pytest.raises(DatasetError) as caught:
        scan(write(case["toml"], **{**SD_DEFAULTS, **options(case["argv"])}))
    assert str(caught.value).startswith(f"{tmp_path / 'set.toml'}, [[datasets]] 1")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[[datasets]]\nresolutoin=1\n[[datasets.subsets]]\nimage_dir='a'", "Did you mean `resolution`?"),
        (
            "[general]\nkeep_tokens=-1\n[[datasets]]\n[[datasets.subsets]]\nimage_dir='a'",
            "[general]: `keep_tokens`",
        ),
        (
            "[[datasets]]\nbatch_size=0\n[[datasets.subsets]]\nimage_dir='a'",
            "`batch_size` is 0, but must be at",
        ),
        ("[[datasets]]\nresolution='big'\n[[datasets.subsets]]\nimage_dir='a'", "`resolution` is 'big', but"),
        (
            "[[datasets]]\nresolution=[1,2,3]\n[[datasets.subsets]]\nimage_dir='a'",
            "`resolution` is '1,2,3', but",
        ),
        ("[[datasets]]\nimage_dir='a'", "belongs to one folder. Move it to a [[datasets.subsets]]"),
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir='a'\nresolution=1", "Move it to [[datasets]]"),
        ("[[datasets]]\n[[datasets.subsets]]\nnum_repeats=1", "`image_dir` is missing or empty"),
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir=5", "`image_dir` is 5, but must be text"),
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir='a'\nis_reg='yes'", "but must be true or false"),
        (
            "[[datasets]]\n[[datasets.subsets]]\nimage_dir='c'",
            "`image_dir` is 'c', but there is no such folder: /",
        ),
        ("[[datasets]]\nresolution=64", "there is no [[datasets.subsets]]"),
        ("[general]\nkeep_tokens=1", "there is no [[datasets]]. The least a file needs is"),
        ("[datasets]\nresolution=512", "must be written with two brackets, [[datasets]]"),
        ("datasets=[1]", "[[datasets]] 1 must be a table of keys and values"),
        ("general=1\n[[datasets]]", "[general] must be a table"),
        ("[genral]\n[[datasets]]", "`genral` is no key of a dataset file. Did you mean `general`?"),
        ("[[datasets]\n", "is not valid TOML: "),
        (
            "[[datasets]]\ncaption_separator=';'\nsecondary_separator=';'\n[[datasets.subsets]]\nimage_dir='a'",
            "[[datasets]] 1: `secondary_separator`",
        ),
        (
            "[[datasets]]\n[[datasets.subsets]]\nimage_dir='a'\nconditioning_data_dir='c'",
            "`conditioning_data_dir` is 'c', but there is no such folder",
        ),
    ],
)
def test_mistakes_are_named_with_file_and_remedy(write, tmp_path, toml, words):
    with pytest.raises(DatasetError) as caught:
        scan(write(toml))
    assert str(tmp_path / "set.toml") in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("key", sorted(REFUSED))
def test_keys_without_effect_are_refused_unless_they_are_off(write, key):
    toml = "[[datasets]]\n{}\n[[datasets.subsets]]\nimage_dir='a'\n"
    with pytest.raises(DatasetError, match=rf"`{key}` is 0\.37, but .*\. Remove it\."):
        scan(write(toml.format(f"{key}=0.37")))
    for value in REFUSED[key].off:
        written = json.dumps(value)
        assert tomllib.loads(f"{key}={written}") == {key: value}
        assert scan(write(toml.format(f"{key}={written}"))).images


@pytest.mark.parametrize(
    ("written", "size"), [("96", (96, 96)), ("'96,128'", (96, 128)), ("[96, 128]", (96, 128))]
)
def test_resolution_in_its_three_forms(write, written, size):
    config = write(
        f"[[datasets]]\nresolution={written}\n[[datasets.subsets]]\nimage_dir='a'", max_bucket_reso=256
    )
    assert scan(config).parts[0].resolution_size == size


def test_two_resolutions_of_one_folder_are_two_parts(write):
    subset = "[[datasets.subsets]]\nimage_dir='a'\nnum_repeats={}\n"
    toml = f"[[datasets]]\nresolution=64\n{subset.format(2)}[[datasets]]\nbatch_size=1\n{subset.format(3)}"
    result = scan(write(toml))
    assert [(image.subset.part, image.repeats) for image in result.images] == [(0, 2), (1, 3)]
    assert [part.train_batch_size for part in result.parts] == [4, 1]


def test_folders_are_relative_to_the_file_then_to_the_current_folder(
    write, tmp_path, make_picture, monkeypatch
):
    monkeypatch.chdir(tmp_path / "b")
    make_picture(tmp_path / "b" / "here" / "c.png")
    make_picture(tmp_path / "b" / "a" / "wrong.png")
    config = write(
        "[[datasets]]\n[[datasets.subsets]]\nimage_dir='a'\n[[datasets.subsets]]\nimage_dir='here'"
    )
    assert [image.path.name for image in scan(config).images] == ["a.png", "c.png"]


def test_same_folder_twice_in_a_dataset_counts_once(write):
    subset = "[[datasets.subsets]]\nimage_dir='a'\n"
    result = scan(write(f"[[datasets]]\n{subset}{subset}"))
    assert len(result.images) == 1
    assert "[[datasets]] 1, [[datasets.subsets]] 2 is not used" in result.notes[0]


def test_number_in_a_folder_name_does_not_count_and_is_noted(write, tmp_path, make_picture):
    make_picture(tmp_path / "10_cat" / "x.png", caption="cat")
    result = scan(write("[[datasets]]\n[[datasets.subsets]]\nimage_dir='10_cat'\nnum_repeats=3"))
    assert [image.repeats for image in result.images] == [3]
    assert result.notes == ("The folder name 10_cat says 10 repeats, but `num_repeats` (3) counts.",)


def test_class_tokens_fall_back_too(write, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / f"{name}.txt").unlink()
    result = scan(
        write(
            "[general]\nclass_tokens='thing'\n[[datasets]]\n[[datasets.subsets]]\nimage_dir='a'\n"
            "[[datasets.subsets]]\nimage_dir='b'\nclass_tokens='cat'"
        )
    )
    assert [image.captions for image in result.images] == [("thing",), ("cat",)]


def test_regularisation_recursion_and_masks_per_subset(write, tmp_path, make_picture):
    make_picture(tmp_path / "b" / "deep" / "d.png")
    make_picture(tmp_path / "masks" / "a.png")
    result = scan(
        write(
            "[[datasets]]\n[[datasets.subsets]]\nimage_dir='a'\nnum_repeats=5\nconditioning_data_dir='masks'\n"
            "[[datasets.subsets]]\nimage_dir='b'\nis_reg=true\nrecursive=true\nnum_repeats=1"
        )
    )
    assert [(i.path.name, i.repeats, i.subset.is_reg, i.mask is not None) for i in result.images] == [
        ("a.png", 5, False, True),
        ("b.png", 3, True, False),
        ("d.png", 2, True, False),
    ]


def test_folder_that_is_empty_or_cannot_be_listed_costs_only_itself(write, tmp_path, deny):
    (tmp_path / "empty").mkdir()
    subsets = "".join(f"[[datasets.subsets]]\nimage_dir='{name}'\n" for name in ("a", "b", "empty"))
    deny(tmp_path / "b")
    result = scan(write(f"[[datasets]]\n{subsets}"))
    assert [image.path.name for image in result.images] == ["a.png"]
    assert [skipped.path.name for skipped in result.skipped] == ["b"]
    assert "empty holds no pictures, so it is not used" in result.notes[0]
    deny(tmp_path / "a")
    with pytest.raises(DatasetError, match=r"`dataset_config` is .*no picture can be used"):
        scan(write(f"[[datasets]]\n{subsets}"))


def test_doubtful_values_are_noted_with_their_table(write):
    toml = "[[datasets]]\nresolution=100\nmax_bucket_reso=128\n[[datasets.subsets]]\nimage_dir='a'"
    (note,) = (note for note in scan(write(toml)).notes if "resolution" in note)
    assert "set.toml, [[datasets]] 1: `resolution` is 100, which is no multiple" in note


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"[general]\n# caf\xe9", "not a text file in UTF-8"), (b"\xef\xbb\xbf[general]", "no [[datasets]]")],
)
def test_encodings(write, tmp_path, content, words):
    config = write("")
    (tmp_path / "set.toml").write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        scan(config)
    assert words in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere\.toml, which cannot be read \(No such file"):
        scan(demo_config(output_dir="x", dataset_config=str(tmp_path / "nowhere.toml")))
