"""Where a model's CLIP tokenizers are: in ``tokenizer_path``, beside the model, or on the hub."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lora_widgets.catalog.weight_files import CLIP_TOKENIZER
from lora_widgets.errors import ModelError
from lora_widgets.families import hub
from lora_widgets.families.weights import Source, load_tokenizer

_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")


_BESIDE = ("tokenizer", "tokenizer_2")
_CLIP_G_PADDING = "!"
"""CLIP-G has the vocabulary of CLIP-L, but pads with this token."""


@dataclass(frozen=True)
class TokenizerPlace:
    """A folder with a tokenizer, or below one; ``pad_token`` is another one than the files say, or None."""

    source: Source
    subfolder: str
    pad_token: str | None = None

    def load(self) -> Any:
        """Return the tokenizer, one of CLIP.

        Raises:
            ModelError: its files are missing, damaged, or cannot be fetched.
        """
        from transformers import CLIPTokenizer

        other = {} if self.pad_token is None else {"pad_token": self.pad_token}
        return load_tokenizer(
            partial(CLIPTokenizer.from_pretrained, **other), self.source, subfolder=self.subfolder
        )


def tokenizers_beside(model: Source, tokenizer_path: str | None, *, count: int) -> tuple[TokenizerPlace, ...]:
    """Return ``count`` tokenizers (CLIP-L, CLIP-G) of a diffusers folder, or of ``tokenizer_path`` if set.

    Raises:
        ModelError: ``tokenizer_path`` holds none.
    """
    chosen = _chosen(tokenizer_path)
    return (chosen or tuple(TokenizerPlace(model, name) for name in _BESIDE))[:count]


def tokenizers_from_hub(tokenizer_path: str | None, *, count: int) -> tuple[TokenizerPlace, ...]:
    """Return ``count`` tokenizers (CLIP-L, CLIP-G) of ``tokenizer_path``, else CLIP's, which is fetched now.

    Raises:
        ModelError: ``tokenizer_path`` holds none, or it is not set and the hub cannot be reached.
    """
    return (_chosen(tokenizer_path) or _fetched(CLIP_TOKENIZER))[:count]


def _fetched(name: str) -> tuple[TokenizerPlace, ...]:
    try:
        folder = hub.fetch(name, _FILES)
    except hub.Unfetched as error:
        files = " ".join(_FILES)
        usual = (
            f"On a machine with internet run `hf download {name} {files} --local-dir my-tokenizer`, copy the "
            "folder my-tokenizer here and set `tokenizer_path` to its path."
        )
        raise ModelError(
            f"A single file holds no tokenizer, `tokenizer_path` is empty, and the tokenizer of {name} could "
            f"not be fetched from the Hugging Face hub: {error.reason} {error.remedy or usual}"
        ) from error
    source = Source("tokenizer_path", str(folder), is_folder=True)
    return TokenizerPlace(source, ""), TokenizerPlace(source, "", _CLIP_G_PADDING)


def _chosen(value: str | None) -> tuple[TokenizerPlace, ...]:
    """Return the tokenizers of CLIP-L and CLIP-G in a folder, which may be one; nothing for no folder."""
    if not value:
        return ()
    path = Path(value).expanduser()
    source = Source("tokenizer_path", str(path), is_folder=True)
    for subfolder in ("", "tokenizer"):
        if _holds_vocabulary(path / subfolder):
            own_second = _holds_vocabulary(path / _BESIDE[1])
            second = (
                TokenizerPlace(source, _BESIDE[1])
                if own_second
                else TokenizerPlace(source, subfolder, _CLIP_G_PADDING)
            )
            return TokenizerPlace(source, subfolder), second
    found = "nothing is there" if not path.exists() else "no vocabulary is there"
    raise ModelError(
        f"`tokenizer_path` is {value!r}, but {found}. Set it to the folder with vocab.json and merges.txt, "
        "or tokenizer.json; or leave it empty."
    )


def _holds_vocabulary(folder: Path) -> bool:
    pair = all((folder / name).is_file() for name in ("vocab.json", "merges.txt"))
    return pair or (folder / "tokenizer.json").is_file()
