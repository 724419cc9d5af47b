"""What the cache folder holds and what it is called there; torch-free.

Encoded pictures and captions are in stores, a folder for each encoder: ``latents-1/<fingerprint>``. A store
is a row of shards of two files each; see `tensor_store`. Beside them are the hashes of pictures (``files``)
and the fingerprints of models (``parts``).
"""

import re
import time
import uuid
from typing import NamedTuple

LATENT_STORES = "latents-1"
"""Changes whenever pictures are opened, scaled or encoded in another way."""
TEXT_STORES, T5_STORES = "text-1", "t5-1"
"""Change whenever captions are encoded in another way, by all text encoders or by T5 alone."""
HASHES, PARTS = "files", "parts"
STORES = {LATENT_STORES: "latents", TEXT_STORES: "captions", T5_STORES: "captions for T5"}
"""The folders of stores with what is in them, in words."""

TENSORS_SUFFIX, INDEX_SUFFIX, HASHES_SUFFIX = ".tensors", ".index", ".hashes"

_BY_AGE = r"\d{20}-[0-9a-f]{8}"
_SHARD = re.compile(rf"({_BY_AGE})\.(tensors|index)")
_HASHES = re.compile(rf"{_BY_AGE}\.hashes")
_PART = re.compile(r"[0-9a-f]{32}(-[0-9a-f]{8})?")
_ENCODER = re.compile(r"[0-9a-f]{32}")


class Store(NamedTuple):
    """A kind of store and the version of its format: those of this program and older ones are ours."""

    stem: str
    version: int


def new_name() -> str:
    """Return a name, without suffix, that no other file has; such names sort by age."""
    return f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"


def words_for_store(folder: str) -> str | None:
    """Return what is in stores below a folder called so; None if no version up to this one calls it so."""
    found = _version_of(folder)
    for ours, words in STORES.items():
        known = _version_of(ours)
        if found and known and found.stem == known.stem and found.version <= known.version:
            return words
    return None


def is_encoder(folder: str) -> bool:
    """Say whether a folder is called as the store of an encoder is."""
    return bool(_ENCODER.fullmatch(folder))


def shard_of(file: str) -> str | None:
    """Return the name, without suffix, of the shard that a file belongs to; None for another file."""
    match = _SHARD.fullmatch(file)
    return match[1] if match else None


def is_hashes(file: str) -> bool:
    """Say whether a file is called as those with hashes of pictures are."""
    return bool(_HASHES.fullmatch(file))


def is_part(file: str) -> bool:
    """Say whether a file is called as one with the fingerprint of a model, or one being written, is."""
    return bool(_PART.fullmatch(file))


def _version_of(folder: str) -> Store | None:
    match = re.fullmatch(r"([a-z0-9]+)-([1-9]\d{0,3})", folder, re.ASCII)
    return Store(match[1], int(match[2])) if match else None
