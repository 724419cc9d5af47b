"""Files of prompts in three formats; what is wrong with one is said with file, place, key and remedy."""

import json
from pathlib import Path

import pytest

from lora_widgets.data.prompt_file import look_up_prompts, read_prompt_file
from lora_widgets.errors import ConfigError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "prompts.json").read_text(encoding="utf-8"))


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and returns its path."""

    def written(name, content):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8", newline="")
        return path

    return written


@pytest.mark.parametrize("case", GOLDEN["files"], ids=lambda case: case["name"])
def test_files_mean_what_they_mean_to_the_reference(write, case):
    found = read_prompt_file(write(case["name"], case["content"]))
    expected = [{**says, "text": says["text"].strip()} for says in case["expected"]]
    if case["name"] == "p.txt":
        del expected[2]  # the reference takes an indented comment for a prompt
    assert [dict(prompt.says) for prompt in found] == expected


def test_places_are_named_as_people_count(write):
    toml = write("p.toml", '[prompt]\n[[prompt.subset]]\nprompt = "a"\n[[prompt.subset]]\nprompt = "b"')
    assert [prompt.place for prompt in read_prompt_file(toml)] == [
        "[[prompt.subset]] 1",
        "[[prompt.subset]] 2",
    ]
    assert read_prompt_file(write("p.json", '["a"]'))[0].place == "entry 1"


def test_what_has_no_effect_in_a_table_is_kept_for_the_finding(write):
    table = {"prompt": "a dog --w 64", "controlnet_image": "x.png", "enum": 0, "seed": None}
    (prompt,) = read_prompt_file(write("p.json", json.dumps([table])))
    assert prompt.says == {"text": "a dog --w 64"}
    assert prompt.ignored == ("controlnet_image", "options within `prompt`")


def test_a_byte_order_mark_is_no_part_of_the_first_prompt(write):
    assert read_prompt_file(write("p.txt", "\ufeffa cat"))[0].says["text"] == "a cat"


SUBSET = '[prompt]\n[[prompt.subset]]\nprompt = "a"\n'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.toml", "[prompt]\n=", r"p\.toml, which is not valid TOML: .*line 2.*Correct it there"),
        ("p.toml", f"{SUBSET}seed = {'9' * 5000}", r"p\.toml, which is not valid TOML"),
        ("p.toml", "[prompt]\nwidth = 5", r"there is no \[\[prompt\.subset\]\]. The least it needs"),
        ("p.toml", "[prompts]\nwidth = 5", r"at the top: `prompts` is no table of a prompt file"),
        (
            "p.toml",
            SUBSET + "widht = 5",
            r"\[\[prompt\.subset\]\] 1: `widht` is no key.*Did you mean `width`",
        ),
        ("p.toml", SUBSET + 'width = "5"', r"`width` is '5', but must be a whole number from 1 to"),
        ("p.toml", SUBSET + "width = true", r"`width` is True, but must be a whole number"),
        ("p.toml", SUBSET + "scale = nan", r"`scale` is nan, but must be a number from 0 to 1000"),
        ("p.toml", SUBSET + "sample_steps = 0", r"`sample_steps` is 0, but must be .* from 1 to 1000"),
        ("p.toml", "[prompt]\nseed = -1\n[[prompt.subset]]\n", r"\[prompt\]: `seed` is -1, but must be"),
        ("p.toml", "[prompt]\n[[prompt.subset]]\nseed = 1", r"`prompt` is missing"),
        ("p.json", "[1,", r"p\.json, which is not valid JSON: .*line 1"),
        ("p.json", '{"prompt": "a"}', r"at the top: there must be a list"),
        ("p.json", "[[]]", r"entry 1: \[\] \(list\) is no table"),
        ("p.json", '[{"prompt": 5}]', r"entry 1: `prompt` is 5, but must be text in quotes"),
        ("p.csv", "a", r"is .*p\.csv', but prompts are read from \.txt, \.toml and \.json"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(write, name, content, message):
    path = write(name, content)
    with pytest.raises(ConfigError, match=message):
        read_prompt_file(path)
    file = look_up_prompts(f" {path} ")
    assert file.prompts == ()
    assert file.error.startswith("`sample_prompts`")


def test_files_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    assert "cannot be read (No such file" in look_up_prompts(str(tmp_path / "gone.txt")).error
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    assert "not UTF-8 text (byte 0)" in look_up_prompts(str(tmp_path / "latin.txt")).error
    (tmp_path / "folder.txt").mkdir()
    assert "cannot be read" in look_up_prompts(str(tmp_path / "folder.txt")).error
    assert "cannot be read" in look_up_prompts("a\0.txt").error
    monkeypatch.delenv("HOME", raising=False)
    assert "cannot be read" in look_up_prompts("~nobody-of-that-name/p.txt").error


def test_the_path_of_a_file_may_stand_in_quotes(write):
    path = write("a b.txt", "a cat")
    assert look_up_prompts(f'"{path}" ') == look_up_prompts(str(path))
    assert look_up_prompts(str(path)).prompts


@pytest.mark.parametrize("setting", [None, "", "  ", "a cat", "a cat\nprompts.txt", "x" * 5000, "a\0cat"])
def test_a_setting_that_is_no_file_is_not_looked_for(setting):
    assert look_up_prompts(setting) is None
