"""The tokens a base model makes of a caption, known before it is loaded.

The tokenizer is CLIP's byte-pair encoding, built from the vocabulary in the model's folder with the library
that transformers itself builds on: the same ids, without torch. Where there is no such vocabulary on this
machine, nothing is known: training will say what is wrong with the model.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_widgets.catalog.weight_files import CLIP_TOKENIZER
from lora_widgets.config.captions import TOKENS_PER_WINDOW
from lora_widgets.config.weight_headers import is_weight_file
from lora_widgets.demo.paths import DEMO, model_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
# How CLIP divides text into words before it looks for pairs (openai/CLIP, simple_tokenizer).
_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True)
class Chip:
    """The piece of a caption that one token stands for.

    ``window`` counts the windows of 75 tokens from 0. ``is_cut`` says that the piece lies beyond the limit.
    """

    text: str
    window: int
    is_cut: bool


def find_tokenizer(base_model: str, tokenizer_path: str | None) -> "Tokenizer | None":
    """Return the tokenizer in ``tokenizer_path``, or that of a base model where none is given.

    A base model is "demo", a folder in diffusers layout, a hub name, or a single file, whose tokenizer is
    that of CLIP. None where it cannot be read; what is on the hub is only looked up among the downloads.
    """
    if tokenizer_path:
        return _read_below(tokenizer_path)
    folder = _tokenizer_folder(base_model)
    return None if folder is None else read_tokenizer(folder)


def read_tokenizer(folder: Path) -> "Tokenizer | None":
    """Return the tokenizer of a folder with vocab.json and merges.txt, or tokenizer.json; None without."""
    try:
        stamps = tuple((path, path.stat().st_mtime_ns) for path in _vocabulary_files(folder))
        return _build(stamps)
    except (OSError, ValueError, TypeError, KeyError):  # missing, damaged, or of another kind
        return None


def count_tokens(tokenizer: "Tokenizer", caption: str) -> int:
    """Return the number of tokens of a caption, without begin and end."""
    return len(token_starts(tokenizer, caption))


def token_starts(tokenizer: "Tokenizer", caption: str) -> list[int]:
    """Return for each token where its text starts in the caption.

    The tokens of one character that is not in the vocabulary, such as an emoji, all start at it.
    """
    # The name of a folder, which can stand in for a caption, may hold bytes that are no text.
    readable = caption.encode("utf-8", "replace").decode("utf-8")
    return [start for start, _ in tokenizer.encode(readable, add_special_tokens=False).offsets]


def chips(caption: str, tokenizer: "Tokenizer", max_tokens: int) -> tuple[Chip, ...]:
    """Divide a caption into a chip for each token; those beyond ``max_tokens`` are cut.

    The texts joined are the caption as written, blanks included. A character of several tokens is the text
    of its last chip, and the others are empty. A caption without tokens has no chips.
    """
    starts = token_starts(tokenizer, caption)
    bounds = [0, *starts[1:], len(caption)] if starts else []
    return tuple(
        Chip(caption[start:end], number // TOKENS_PER_WINDOW, number >= max_tokens)
        for number, (start, end) in enumerate(pairwise(bounds))
    )


def _read_below(tokenizer_path: str) -> "Tokenizer | None":
    try:
        folder = Path(tokenizer_path).expanduser()
        return read_tokenizer(folder) or read_tokenizer(folder / "tokenizer")
    except (OSError, ValueError, RuntimeError):  # too long, no possible name, no home folder
        return None


def _tokenizer_folder(base_model: str) -> Path | None:
    if base_model == DEMO:
        return model_folder() / "tokenizer"
    if is_weight_file(base_model):
        return _downloaded(CLIP_TOKENIZER, "vocab.json")
    try:
        folder = Path(base_model).expanduser() / "tokenizer"
        return folder if folder.is_dir() else _downloaded(base_model, "tokenizer/vocab.json")
    except (OSError, ValueError, RuntimeError):  # too long, no possible name, no home folder
        return None


def _downloaded(hub_name: str, vocabulary: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_name, vocabulary)
    return Path(found).parent if isinstance(found, str) else None


def _vocabulary_files(folder: Path) -> tuple[Path, ...]:
    pair = (folder / "vocab.json", folder / "merges.txt")
    return pair if all(path.is_file() for path in pair) else (folder / "tokenizer.json",)


@lru_cache(maxsize=4)
def _build(stamps: tuple[tuple[Path, int], ...]) -> "Tokenizer | None":
    """Build the tokenizer of files with their times, which make a changed file another one."""
    vocabulary, merges = _read(*(path for path, _ in stamps))
    parts = {part for merge in merges for part in (*merge, "".join(merge))}
    if not {BEGIN, END, *parts} <= vocabulary.keys():
        return None
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token=END, end_of_word_suffix="</w>")
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in (BEGIN, END)])
    return tokenizer


def _read(vocabulary: Path, merges: Path | None = None) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return token -> id and the pairs in order, of the two files or of the one that holds both.

    Raises:
        OSError: a file cannot be read.
        ValueError, TypeError, KeyError: a file is damaged, or holds another kind of vocabulary.
    """
    content: Any = json.loads(vocabulary.read_text(encoding="utf-8"))
    if merges is None:
        content, lines = content["model"]["vocab"], content["model"]["merges"]
    else:
        lines = merges.read_text(encoding="utf-8").strip().split("\n")[1:]  # the first names the version
    return dict(content), [_pair(line) for line in lines]


def _pair(line: Any) -> tuple[str, str]:
    first, second = line.split(" ") if isinstance(line, str) else line
    return first, second
