"""Tokens counted without torch are those that training encodes."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from lora_widgets.data.tokens import chips, count_tokens, find_tokenizer, read_tokenizer, token_starts
from lora_widgets.demo.paths import model_folder

FOLDER = model_folder() / "tokenizer"
TOKENIZER = find_tokenizer("demo", None)
OF_TRAINING = CLIPTokenizer.from_pretrained(FOLDER)
words = st.sampled_from(
    ["a", "Cat", "it's", "we'LL", "3d", "naïve", "e\u0301", "🐱", "日本語", "İ", "<|endoftext|>"]
)
signs = st.sampled_from([" ", ", ", "\t", "\u00a0", "\n", "  ", "", "\u3000", ".", "_", "(x:1.2)", "\u200d"])
captions = st.text(max_size=40) | st.lists(words | signs, max_size=30).map("".join)


@given(captions)
@example("")
@example(" a  photo,\tof <|startoftext|> it's 1girl e\u0301 ")
def test_ids_are_those_of_the_tokenizer_that_training_uses(caption):
    expected = OF_TRAINING(caption, add_special_tokens=False)["input_ids"]
    assert TOKENIZER.encode(caption, add_special_tokens=False).ids == expected
    assert count_tokens(TOKENIZER, caption) == len(expected)


@given(captions, st.sampled_from([75, 150, 225]))
@example("🐱" * 90, 150)
def test_chips_are_the_caption_in_pieces_and_those_beyond_the_limit_are_cut(caption, limit):
    pieces = chips(caption, TOKENIZER, limit)
    assert len(pieces) == count_tokens(TOKENIZER, caption)
    assert "".join(piece.text for piece in pieces) == (caption if pieces else "")
    assert [piece.window for piece in pieces] == [number // 75 for number in range(len(pieces))]
    assert sum(piece.is_cut for piece in pieces) == max(0, len(pieces) - limit)
    assert not any(piece.is_cut for piece in pieces[:limit])


@given(captions)
def test_tokens_start_in_order_within_the_caption(caption):
    starts = token_starts(TOKENIZER, caption)
    assert starts == sorted(starts)
    assert all(0 <= start < len(caption) for start in starts)


def test_bytes_that_are_no_text_count_as_question_marks():
    assert count_tokens(TOKENIZER, "a\udcff\udcfe b") == count_tokens(TOKENIZER, "a?? b")
    assert "".join(piece.text for piece in chips("a\udcff b", TOKENIZER, 75)) == "a\udcff b"


def test_chips_show_what_each_token_stands_for():
    pieces = chips("A Circle, 🐱", TOKENIZER, 75)
    assert [piece.text for piece in pieces] == ["A ", "Circle", ", ", "", "", "", "🐱"]


def test_a_vocabulary_in_one_file_counts_the_same(tmp_path):
    pair = [line.split(" ") for line in (FOLDER / "merges.txt").read_text("utf-8").strip().split("\n")[1:]]
    vocab = json.loads((FOLDER / "vocab.json").read_text("utf-8"))
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocab, "merges": pair}}), "utf-8")
    caption = "a blixo creature, naïve 🐱"
    assert count_tokens(read_tokenizer(tmp_path), caption) == count_tokens(TOKENIZER, caption)


def test_the_tokenizer_of_a_folder_or_of_a_download_is_found(tmp_path, monkeypatch):
    shutil.copytree(FOLDER, tmp_path / "model" / "tokenizer")
    assert find_tokenizer(str(tmp_path / "model"), None) is not None
    asked = []

    def downloaded(name, file):
        asked.append((name, file))
        return str(FOLDER / "vocab.json")

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", downloaded)
    assert find_tokenizer("owner/name", None) is not None
    assert find_tokenizer("models/file.safetensors", None) is not None
    assert asked == [
        ("owner/name", "tokenizer/vocab.json"),
        ("openai/clip-vit-large-patch14", "vocab.json"),
    ]


def test_a_chosen_tokenizer_goes_before_that_of_the_model(tmp_path):
    own = shutil.copytree(FOLDER, tmp_path / "own" / "tokenizer")
    for chosen in (own, own.parent):
        assert find_tokenizer("owner/never-downloaded", str(chosen)) is not None
    assert find_tokenizer("demo", str(tmp_path / "nothing")) is None


@pytest.mark.parametrize(
    "name", ["", "owner/never-downloaded", "no/such/folder", "x" * 5000, "\0", "~nobody/x", "."]
)
def test_nothing_is_known_where_no_tokenizer_is(name):
    assert find_tokenizer(name, None) is None
    assert name == "" or find_tokenizer("demo", name) is None


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("vocab.json", "{"),
        ("vocab.json", "[]"),
        ("vocab.json", "7"),
        ("vocab.json", '{"<|startoftext|>": "a", "<|endoftext|>": "b"}'),
        ("vocab.json", '{"a": 0}'),
        ("merges.txt", "#version\na b c"),
        ("merges.txt", "#version\nno pair-of-this-vocabulary"),
        ("vocab.json", None),
    ],
)
def test_nothing_is_known_of_a_damaged_tokenizer(tmp_path, file, text):
    folder = shutil.copytree(FOLDER, tmp_path / "tokenizer")
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(text, encoding="utf-8")
    assert read_tokenizer(folder) is None


@pytest.mark.parametrize(
    "model", ['{"vocab": [["a", -1.5]]}', '{"vocab": {"a": 0}, "merges": [1]}', "null", "{}"]
)
def test_a_vocabulary_of_another_kind_is_no_tokenizer_of_captions(tmp_path, model):
    (tmp_path / "tokenizer.json").write_text(f'{{"model": {model}}}', encoding="utf-8")
    assert read_tokenizer(tmp_path) is None


def test_a_repaired_tokenizer_is_read_again(tmp_path):
    folder = shutil.copytree(FOLDER, tmp_path / "tokenizer")
    whole = (folder / "merges.txt").read_text(encoding="utf-8")
    (folder / "merges.txt").write_text("#version\n", encoding="utf-8")
    assert count_tokens(read_tokenizer(folder), "circle") == 6
    (folder / "merges.txt").write_text(whole, encoding="utf-8")
    os.utime(folder / "merges.txt", ns=(1, 1))
    assert count_tokens(read_tokenizer(folder), "circle") == 1


def test_counting_tokens_imports_neither_torch_nor_transformers():
    code = (
        "import sys; from lora_widgets.data.tokens import count_tokens, find_tokenizer;"
        "assert 'tokenizers' not in sys.modules, 'needed only for counting';"
        "assert count_tokens(find_tokenizer('demo', None), 'a cat') > 0;"
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
