"""Where tokenizers come from; nothing is fetched here, the download is a double."""

import shutil

import pytest
import torch

from lora_widgets.errors import ModelError
from lora_widgets.families.tokenizer_files import tokenizers_beside, tokenizers_from_hub
from lora_widgets.families.weights import Source

NAME = "openai/clip-vit-large-patch14"


def test_a_chosen_tokenizer_goes_before_that_of_the_model(open_tiny, tiny_sd15, tmp_path):
    own = shutil.copytree(tiny_sd15 / "tokenizer", tmp_path / "own")
    family = open_tiny(tokenizer_path=str(own))
    shutil.rmtree(own)
    with pytest.raises(ModelError, match="The tokenizer of the model in `tokenizer_path`"):
        family.text.load("cpu", torch.float32)


def test_the_folder_above_the_tokenizer_will_do(tiny_sd15):
    (place,) = tokenizers_from_hub(str(tiny_sd15), count=1)
    assert (place.source.folder, place.subfolder) == (tiny_sd15, "tokenizer")


def test_without_a_choice_a_folder_has_its_own(tiny_sd15):
    model = Source("pretrained_model_name_or_path", str(tiny_sd15), is_folder=True)
    assert [(place.source, place.subfolder) for place in tokenizers_beside(model, None, count=2)] == [
        (model, "tokenizer"),
        (model, "tokenizer_2"),
    ]


@pytest.mark.parametrize("folder", ["", "tokenizer"])
def test_one_vocabulary_serves_both_encoders_of_sdxl(open_sdxl_file, tiny_sdxl, folder):
    family = open_sdxl_file(tokenizer_path=str(tiny_sdxl / folder))
    family.text.load("cpu", torch.float32)
    padding = [tokenizer.pad_token for tokenizer in (family.clip_l.tokenizer, family.clip_g.tokenizer)]
    assert padding == ["<|endoftext|>", "!"]


@pytest.mark.parametrize(
    ("part", "file", "content"),
    [
        ("tokenizer", "vocab.json", None),
        ("tokenizer", "merges.txt", ""),
        ("tokenizer", "vocab.json", "{"),
        ("tokenizer", "vocab.json", "{}"),
        ("tokenizer_2", None, None),
        ("tokenizer_2", "tokenizer.json", "{"),
    ],
)
def test_a_damaged_tokenizer_is_named(open_tiny_flux, tiny_flux, tmp_path, part, file, content):
    """T5's of no files has a hundred tokens that stand for no word: all captions would be the same."""
    folder = shutil.copytree(tiny_flux, tmp_path / "flux")
    if file is None:
        shutil.rmtree(folder / part)
    elif content is None:
        (folder / part / file).unlink()
    else:
        (folder / part / file).write_text(content)
    family = open_tiny_flux(pretrained_model_name_or_path=str(folder))
    with pytest.raises(ModelError, match=f"The {part} of the model in .* again"):
        family.text.load("cpu", torch.float32)


@pytest.mark.parametrize(
    ("name", "found"), [("nothing", "nothing is there"), ("unet", "no vocabulary is there")]
)
def test_a_folder_without_a_vocabulary_is_refused(tiny_sd15, name, found):
    with pytest.raises(ModelError, match=rf"`tokenizer_path` is .*, but {found}. Set it to the folder"):
        tokenizers_from_hub(str(tiny_sd15 / name), count=1)


def test_a_single_file_fetches_the_tokenizer_of_its_family(open_file, tiny_sd15, monkeypatch):
    asked = []

    def download(name, *, allow_patterns, ignore_patterns, tqdm_class):
        asked.append((name, allow_patterns))
        return str(tiny_sd15 / "tokenizer")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    family = open_file(tokenizer_path=None)
    family.text.load("cpu", torch.float32)
    assert family.encode_text(["a cat"], skip=1).hidden.shape == (1, 77, 32)
    assert asked == [(NAME, ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"])]


def test_offline_a_single_file_says_what_to_download_and_where_to_put_it(open_file):
    with pytest.raises(ModelError) as caught:
        open_file(tokenizer_path=None)
    message = str(caught.value)
    assert "A single file holds no tokenizer" in message
    assert f"`hf download {NAME} vocab.json merges.txt" in message
    assert "set `tokenizer_path` to its path" in message
