"""Shared by the tests of the data package: settings with everything off, and small picture files."""

import errno
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # the tests here say `from picture_list import picture`

OFF = {
    "train_data_dir": "",
    "dataset_config": None,
    "reg_data_dir": None,
    "num_repeats": 1,
    "pretrained_model_name_or_path": "",
    "tokenizer_path": None,
    "caption_extension": ".txt",
    "enable_bucket": True,
    "min_bucket_reso": 32,
    "max_bucket_reso": 128,
    "bucket_no_upscale": False,
    "bucket_step": 16,
    "resolution_size": (64, 64),
    "shuffle_caption": False,
    "keep_tokens": 0,
    "keep_tokens_separator": "",
    "caption_separator": ",",
    "secondary_separator": "",
    "enable_wildcard": False,
    "weighted_captions": False,
    "caption_prefix": "",
    "caption_suffix": "",
    "caption_dropout_rate": 0.0,
    "caption_tag_dropout_rate": 0.0,
    "caption_dropout_every_n_epochs": 0,
    "train_batch_size": 2,
    "flip_aug": False,
    "random_crop": False,
    "alpha_mask": False,
    "mask_data_dir": None,
    "nested_folders": False,
    "merges_buckets": False,
    "fills_batches": False,
    "latent_cache_crops": 1,
}


@pytest.fixture(scope="session")
def make_settings():
    """Settings of the data package with the named changes."""

    def make(**changes) -> SimpleNamespace:
        unknown = set(changes) - set(OFF)
        assert not unknown, unknown
        return SimpleNamespace(**{**OFF, **changes})

    return make


@pytest.fixture(scope="session")
def make_picture():
    """Write a picture of noise that depends on its file name, with a caption if one is given."""

    def make(path: Path, size=(40, 30), *, caption: str | None = None, **save_options) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = numpy.random.default_rng(sum(path.name.encode()))
        Image.fromarray(noise.integers(0, 255, (size[1], size[0], 3), dtype=numpy.uint8)).save(
            path, **save_options
        )
        if caption is not None:
            path.with_suffix(".txt").write_text(caption, encoding="utf-8")
        return path

    return make


@pytest.fixture
def deny(monkeypatch):
    """Let the system refuse to list a folder; the tests run as a user to whom nothing is refused."""
    real, denied = os.scandir, set()

    def scandir(path):
        if str(path) in denied:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return lambda path: denied.add(str(path))


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    return Path(__file__).parent.parent / "golden"
