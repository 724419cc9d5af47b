"""Where a model's tokenizers are: in ``tokenizer_path``, beside the model, or on the hub."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from lora_widgets.catalog.weight_files import CLIP_TOKENIZER, T5_TOKENIZER
from lora_widgets.errors import ModelError
from lora_widgets.families import hub
from lora_widgets.families.weights import FAST_VOCABULARIES, Source, holds_vocabulary, load_tokenizer

_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")
_T5_FILES = ("tokenizer.json", "tokenizer_config.json")
_READ = {".json", ".txt", ".model"}
"""How the files of tokenizers end; weights can be beside them."""
_BESIDE = ("tokenizer", "tokenizer_2")
_CLIP_G_PADDING = "!"
"""CLIP-G has the vocabulary of CLIP-L, but pads with this token."""


@dataclass(frozen=True)
class TokenizerPlace:
    """A folder with a tokenizer, or below one; ``pad_token`` is another one than the files say, or None.

    ``kind`` is the class of transformers that reads it.
    """

    source: Source
    subfolder: str
    pad_token: str | None = None
    kind: str = "CLIPTokenizer"

    def load(self) -> Any:
        """Return the tokenizer.

        Raises:
            ModelError: its files are missing, damaged, or cannot be fetched.
        """
        import transformers

        reader = getattr(transformers, self.kind).from_pretrained
        other = {} if self.pad_token is None else {"pad_token": self.pad_token}
        return load_tokenizer(partial(reader, **other), self.source, subfolder=self.subfolder)

    def fingerprint(self) -> str:
        """Return a hash of all that decides how it cuts text, read from its files.

        Raises:
            ModelError: they cannot be fetched or read.
        """
        digest = blake2b(repr((self.kind, self.pad_token)).encode(), digest_size=16)
        folder = self.source.folder / self.subfolder
        try:
            for path in sorted(folder.iterdir()):
                if path.suffix in _READ and path.is_file():
                    content = path.read_bytes()
                    digest.update(repr((path.name, len(content))).encode() + content)
        except OSError as error:
            raise ModelError(
                f"The tokenizer of the model in `{self.source.setting}` ({folder}) cannot be read: "
                f"{error.strerror or error}. Check its permissions, or download it again."
            ) from error
        return digest.hexdigest()


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
    if chosen := _chosen(tokenizer_path):
        return chosen[:count]
    source = _fetched(
        CLIP_TOKENIZER,
        _FILES,
        into="my-tokenizer",
        then="copy the folder my-tokenizer here and set `tokenizer_path` to its path.",
    )
    return (TokenizerPlace(source, ""), TokenizerPlace(source, "", _CLIP_G_PADDING))[:count]


def t5_tokenizer(model: Source | None, subfolder: str, *, tokenizer_path: str | None) -> TokenizerPlace:
    """Return T5's tokenizer: in ``subfolder`` of ``tokenizer_path``, else of the model, else of the hub.

    ``model`` is None for a single file, which holds none; what the hub has is then fetched now.

    Raises:
        ModelError: it is nowhere here, and the hub cannot be reached.
    """
    source = model
    if tokenizer_path and _holds_vocabulary(Path(tokenizer_path).expanduser() / subfolder):
        source = Source("tokenizer_path", str(Path(tokenizer_path).expanduser()), is_folder=True)
    if source is None:
        then = f"and copy the folder {subfolder} into that of `tokenizer_path`, beside CLIP's tokenizer."
        source, subfolder = _fetched(T5_TOKENIZER, _T5_FILES, into=subfolder, then=then), ""
    return TokenizerPlace(source, subfolder, kind="T5TokenizerFast")


def _fetched(name: str, files: Sequence[str], *, into: str, then: str) -> Source:
    """Return the folder of a tokenizer from the hub; else say ``into`` what to load it and what ``then``."""
    try:
        folder = hub.fetch(name, files)
    except hub.Unfetched as error:
        call = f"hf download {name} {' '.join(files)} --local-dir {into}"
        usual = f"On a machine with internet run `{call}`, {then}"
        raise ModelError(
            f"A single file holds no tokenizer, `tokenizer_path` gives none, and the tokenizer of {name} "
            f"could not be fetched from the Hugging Face hub: {error.reason} {error.remedy or usual}"
        ) from error
    return Source("tokenizer_path", str(folder), is_folder=True)


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
    return holds_vocabulary(folder, *FAST_VOCABULARIES)
