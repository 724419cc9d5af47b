"""Where a model's tokenizer is: in ``tokenizer_path``, beside the model, or on the hub."""

from dataclasses import dataclass
from pathlib import Path

from lora_widgets.errors import ModelError
from lora_widgets.families import hub
from lora_widgets.families.weights import Source

_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True)
class TokenizerPlace:
    """A folder with a tokenizer, or below one."""

    source: Source
    subfolder: str


def tokenizer_beside(model: Source, tokenizer_path: str | None) -> TokenizerPlace:
    """Return the tokenizer of a model in diffusers layout, or that of ``tokenizer_path`` if it is set.

    Raises:
        ModelError: ``tokenizer_path`` holds none.
    """
    return _chosen(tokenizer_path) or TokenizerPlace(model, "tokenizer")


def tokenizer_from_hub(name: str, tokenizer_path: str | None) -> TokenizerPlace:
    """Return the tokenizer of ``tokenizer_path``, else that of repository ``name``, which is fetched now.

    Raises:
        ModelError: ``tokenizer_path`` holds none, or it is not set and the hub cannot be reached.
    """
    chosen = _chosen(tokenizer_path)
    if chosen:
        return chosen
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
    return TokenizerPlace(Source("tokenizer_path", str(folder), is_folder=True), "")


def _chosen(value: str | None) -> TokenizerPlace | None:
    if not value:
        return None
    path = Path(value).expanduser()
    for subfolder in ("", "tokenizer"):
        if _holds_vocabulary(path / subfolder):
            return TokenizerPlace(Source("tokenizer_path", str(path), is_folder=True), subfolder)
    found = "nothing is there" if not path.exists() else "no vocabulary is there"
    raise ModelError(
        f"`tokenizer_path` is {value!r}, but {found}. Set it to the folder with vocab.json and merges.txt, "
        "or tokenizer.json; or leave it empty."
    )


def _holds_vocabulary(folder: Path) -> bool:
    pair = all((folder / name).is_file() for name in ("vocab.json", "merges.txt"))
    return pair or (folder / "tokenizer.json").is_file()
