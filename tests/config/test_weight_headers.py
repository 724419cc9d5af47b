"""Reading headers of weight files, whole and damaged ones."""

import json
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from lora_widgets.config.weight_headers import is_weight_file, read_header
from lora_widgets.errors import ModelError


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "whole.safetensors"
    tensors = {
        "a": np.zeros((2, 3), np.float32),
        "b": np.zeros((), np.float16),
        "none": np.zeros((0, 4), np.int8),
    }
    save_file(tensors, path, metadata={"modelspec.title": "x"})
    return path


def refused(path):
    with pytest.raises(ModelError) as caught:
        read_header("vae_path", path)
    message = str(caught.value)
    assert message.startswith("`vae_path` is ")
    return message


def test_names_shapes_types_and_metadata_are_read(whole):
    header = read_header("vae_path", whole)
    assert header.shapes == {"a": (2, 3), "b": (), "none": (0, 4)}
    assert {name: place.dtype for name, place in header.places.items()} == {
        "a": "F32",
        "b": "F16",
        "none": "I8",
    }
    assert all(
        place.end - place.begin == size
        for place, size in zip((header.places[name] for name in ("a", "b", "none")), (24, 2, 0), strict=True)
    )
    assert header.metadata == {"modelspec.title": "x"}


def test_a_truncated_file_is_told_with_both_sizes(whole):
    size = whole.stat().st_size
    whole.write_bytes(whole.read_bytes()[:-1])
    message = refused(whole)
    assert f"it has {size - 1:,} bytes, and its header asks for {size:,} bytes" in message
    assert message.endswith("Copy or download it again.")


def test_a_file_that_ends_within_its_header_is_incomplete(whole):
    whole.write_bytes(whole.read_bytes()[:40])
    assert "incomplete or damaged: it has 40 bytes" in refused(whole)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is no safetensors file"),
        (b"PK\x03\x04 a zip file", "is no safetensors file"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n",
            "only the pointer of Git LFS",
        ),
        (b"<!doctype html><html></html>", "is a web page"),
        (struct.pack("<Q", 2) + b"[]", "is no safetensors file"),
        (struct.pack("<Q", 9) + b'{"a": 1} ', "is no safetensors file"),
        (struct.pack("<Q", 3) + b"\xff\xfe\xfd", "is no safetensors file"),
    ],
)
def test_other_files_are_told_for_what_they_are(tmp_path, content, found):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert found in refused(path)


@given(st.binary(max_size=60), st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3)))
def test_whatever_the_bytes_are_only_a_model_error_comes_out(tmp_path_factory, raw, header):
    path = tmp_path_factory.mktemp("any") / "x.safetensors"
    text = json.dumps({"a": header}).encode()
    for content in (raw, struct.pack("<Q", len(text)) + text):
        path.write_bytes(content)
        with suppress(ModelError):
            read_header("vae_path", path)


def test_an_unreadable_file_names_the_reason(whole, monkeypatch):
    def deny(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", deny)
    assert "cannot be read: Permission denied. Check the permissions" in refused(whole)


@pytest.mark.parametrize(
    ("value", "is_file"), [("a/b.safetensors", True), ("B.CKPT ", True), ("owner/name", False)]
)
def test_files_are_told_from_folders_by_their_ending(value, is_file):
    assert is_weight_file(value) == is_file
