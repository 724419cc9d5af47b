"""What the settings alone cannot know: the pictures, the machine, the files."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetFacts:
    """What a scan of the pictures found.

    ``bucket_counts`` holds pictures x repeats of each bucket, ``skipped`` a sentence for each file left out,
    ``without_caption`` the number of pictures that have no text.
    """

    images: int
    bucket_counts: tuple[int, ...]
    skipped: tuple[str, ...] = ()
    without_caption: int = 0


@dataclass(frozen=True)
class Facts:
    """What is known beyond the settings; None or empty means unknown.

    ``missing_paths`` names the settings whose file or folder does not exist, ``missing_packages`` the
    packages that cannot be imported, ``taken_names`` the file stems of earlier runs in the output folder,
    ``free_memory_bytes`` is what programs can still take of the machine's memory.
    """

    dataset: DatasetFacts | None = None
    cuda: bool | None = None
    bf16: bool | None = None
    missing_paths: tuple[str, ...] = ()
    missing_packages: tuple[str, ...] = ()
    taken_names: frozenset[str] = frozenset()
    free_memory_bytes: int | None = None
