"""What the settings alone cannot know: the pictures, the machine, the files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from lora_widgets.config.prompts import PromptFile


@dataclass(frozen=True)
class LongCaption:
    """A caption of more tokens than a text encoder reads at once: its picture's name and its length.

    ``beyond`` holds how the text goes on after 75, 150 and 225 tokens, as far as it does.
    """

    picture: str
    tokens: int
    beyond: tuple[str, ...]


@dataclass(frozen=True)
class DatasetFacts:
    """What a scan of the pictures found.

    ``bucket_counts`` holds pictures x repeats of each bucket, ``batch_sizes`` the size of its batches where a
    dataset file decides it (empty: `train_batch_size` does), ``skipped`` a sentence for each file left out,
    ``without_caption`` the number of pictures that have no text, ``sentences`` that of captions which look
    like sentences and not like tags, ``enlarged`` that of pictures enlarged to more than twice the size, and
    ``shapes`` that of different ratios of width and height. ``long_captions`` begins with the longest; it is
    empty too where the base model's tokenizer is not on this machine.
    """

    images: int
    bucket_counts: tuple[int, ...]
    batch_sizes: tuple[int, ...] = ()
    skipped: tuple[str, ...] = ()
    without_caption: int = 0
    sentences: int = 0
    enlarged: int = 0
    shapes: int = 0
    long_captions: tuple[LongCaption, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What is known beyond the settings; None or empty means unknown.

    ``missing_paths`` names the settings whose file or folder does not exist, ``missing_packages`` the
    packages that cannot be imported, ``taken_names`` the file stems of earlier runs in the output folder,
    ``free_memory_bytes`` is what programs can still take of the machine's memory, ``files`` names the kind
    (`FILE_KINDS`) of the weight file that a setting holds. ``prompt_file`` is None too where `sample_prompts`
    names no file.
    """

    dataset: DatasetFacts | None = None
    cuda: bool | None = None
    bf16: bool | None = None
    missing_paths: tuple[str, ...] = ()
    missing_packages: tuple[str, ...] = ()
    taken_names: frozenset[str] = frozenset()
    free_memory_bytes: int | None = None
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    prompt_file: PromptFile | None = None
