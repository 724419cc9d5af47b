"""What lies in a cache folder, how large it is and when it was last used, and deleting what no run uses.

Only files in the layouts that this program writes are seen at all, so that a cache among pictures of the user
keeps everything else. Links are not followed.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lora_widgets.data.cache_layout import (
    HASHES,
    INDEX_SUFFIX,
    PARTS,
    TENSORS_SUFFIX,
    is_encoder,
    is_hashes,
    is_part,
    shard_of,
    words_for_store,
)
from lora_widgets.data.last_use import last_use
from lora_widgets.errors import CacheError

HASHES_WORDS, PARTS_WORDS = "hashes of pictures", "fingerprints of models"
_FINGERPRINT_BYTES = 32
_PART_CONTENT = re.compile(rb"[0-9a-f]{0,32}")


@dataclass(frozen=True)
class CachedFiles:
    """Files that are deleted together, in this order: a shard of a store, or one of the small files beside.

    ``encoder`` is the name of the store, "" beside stores; ``entries`` are the pictures or captions that it
    holds, ``used_at`` is the latest time it can have been used, in seconds since 1970.
    """

    words: str
    encoder: str
    files: tuple[Path, ...]
    entries: int
    bytes: int
    used_at: float


def cached_files(cache: Path) -> Iterator[tuple[int, int, Sequence[CachedFiles]]]:
    """Look through a cache folder; yields (done, total) of its folders, and what was found in each.

    What is deleted meanwhile is passed over. A folder that is not there holds nothing.

    Raises:
        CacheError: the folder cannot be read.
    """
    folders = list(_our_folders(cache))
    for done, (words, encoder, folder) in enumerate(folders, 1):
        names = sorted(path.name for path in _inside(folder) if path.is_file() and not path.is_symlink())
        groups = _of_store(names) if encoder else _beside(folder, names)
        found = (_looked_at(words, encoder, [folder / name for name in group]) for group in groups)
        yield done, len(folders), [files for files in found if files is not None]


def delete(files: CachedFiles, *, unused_since: float) -> int:
    """Delete files that were not used since then, and folders left empty; return the bytes freed.

    Raises:
        CacheError: one cannot be deleted.
    """
    freed = 0
    try:
        if last_use(files.files) > unused_since:  # a run took it up since it was looked at
            return 0
        for path in files.files:
            size = path.stat().st_size
            path.unlink()
            freed += size
    except FileNotFoundError:  # another one deletes, too
        return freed
    except OSError as error:
        raise CacheError(
            f"{error.filename} of the cache cannot be deleted ({error.strerror or error}). Close the program "
            "that has it open, or ask for the right to delete it, and try again."
        ) from error
    folder = files.files[0].parent
    with suppress(OSError):  # others are in there
        folder.rmdir()
        if files.encoder:
            folder.parent.rmdir()
    return freed


def _our_folders(cache: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield the folders that can hold files of ours: what is in them in words, the encoder, and where."""
    for folder in _folders(cache):
        if words := words_for_store(folder.name):
            yield from ((words, inner.name, inner) for inner in _folders(folder) if is_encoder(inner.name))
        elif folder.name in (HASHES, PARTS):
            yield (HASHES_WORDS if folder.name == HASHES else PARTS_WORDS), "", folder


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in _inside(folder) if path.is_dir() and not path.is_symlink())


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CacheError(
            f"The cache folder {folder} cannot be read ({error.strerror or error}). Check that it is a "
            "folder that you may read."
        ) from error


def _of_store(names: Sequence[str]) -> list[list[str]]:
    """Return the files of each shard; the index comes first, so that half of a deletion leaves no damage."""
    shards: dict[str, list[str]] = {}
    for name in names:
        if shard := shard_of(name):
            shards.setdefault(shard, []).append(name)
    return [sorted(files) for files in shards.values()]


def _beside(folder: Path, names: Sequence[str]) -> list[list[str]]:
    if folder.name == HASHES:
        return [[name] for name in names if is_hashes(name)]
    return [[name] for name in names if is_part(name) and _holds_fingerprint(folder / name)]


def _holds_fingerprint(path: Path) -> bool:
    """Say whether a file holds a fingerprint, or the beginning of one, and nothing else."""
    with suppress(OSError), path.open("rb") as file:
        return bool(_PART_CONTENT.fullmatch(file.read(_FINGERPRINT_BYTES + 1)))
    return False


def _looked_at(words: str, encoder: str, files: Sequence[Path]) -> CachedFiles | None:
    """Return files with their sizes; None if they have gone."""
    try:
        size = sum(path.stat().st_size for path in files)
        return CachedFiles(words, encoder, tuple(files), _entries(files), size, last_use(files))
    except OSError:
        return None


def _entries(files: Sequence[Path]) -> int:
    """Return how many pictures or captions a shard says it holds."""
    if not any(path.suffix == TENSORS_SUFFIX for path in files):
        return 0
    indexes = (path for path in files if path.suffix == INDEX_SUFFIX)
    return sum(path.read_bytes().count(b"\n") for path in indexes)
