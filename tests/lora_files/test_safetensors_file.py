"""Our own writing of the format: as the library reads it, with the hashes that other programs compute."""

import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lora_widgets.lora_files.safetensors_file import hashes_of, write_stream, write_tensors

# Recorded from sd-scripts at 48d368f (library.train_util.precalculate_safetensors_hashes).
RECORDED = "fcd5ff8434e3b053422dc56ee79cdd9d6c262972bf6a1c8985be3b4209f93ada", "e3b0c442"
TENSORS = {
    "b.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "a.weight": torch.ones(2, dtype=torch.float16),
    "a.alpha": torch.tensor(1.0),
}
DTYPES = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8])
SHAPES = st.lists(st.integers(0, 3), max_size=3)


@pytest.mark.parametrize("metadata", [{}, {"ss_x": "1", "z": "2"}])
def test_hashes_are_those_of_the_reference(metadata):
    assert tuple(hashes_of(TENSORS, metadata).values()) == RECORDED


def test_the_old_hash_of_a_large_file_is_of_the_file_with_ss_metadata_only(tmp_path):
    tensors = {"w": torch.arange(400_000, dtype=torch.float32)}
    save_file(tensors, tmp_path / "plain.safetensors", {"ss_x": "ä"})
    window = (tmp_path / "plain.safetensors").read_bytes()[0x100000:0x110000]
    found = hashes_of(tensors, {"ss_x": "ä", "other": "not counted"})
    assert found["sshs_legacy_hash"] == hashlib.sha256(window).hexdigest()[:8]


@given(st.dictionaries(st.text("ab.", min_size=1, max_size=4), st.tuples(DTYPES, SHAPES), max_size=4))
def test_what_is_written_is_read(tmp_path, entries):
    tensors = {name: torch.ones(shape, dtype=dtype) for name, (dtype, shape) in entries.items()}
    path = tmp_path / "x.safetensors"
    write_tensors(path, tensors, {"title": 'ü "quoted"'})
    found = load_file(path)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["title"] == 'ü "quoted"'
    assert metadata["sshs_model_hash"] == hashes_of(tensors, {})["sshs_model_hash"]


def test_a_stream_that_breaks_off_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"old")

    def read(name):
        if name == "b":
            raise OSError("gone")
        return torch.ones(2)

    with pytest.raises(OSError, match="gone"):
        write_stream(path, [("a", torch.float32, (2,)), ("b", torch.float32, (2,))], read, {})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
