import os
import time

import pytest

from lora_widgets.data import file_hashes
from lora_widgets.data.file_hashes import FileHashes, hash_file
from lora_widgets.errors import DatasetError

LONG_AGO = time.time() - 1000


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "ä.png"
    path.write_bytes(b"one")
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


@pytest.fixture
def reads(monkeypatch):
    """The files that are really read."""
    read = []

    def counted(path):
        read.append(path)
        return hash_file(path)

    monkeypatch.setattr(file_hashes, "hash_file", counted)
    return read


def hash_in_a_new_run(folder, path):
    hashes = FileHashes(folder, [path])
    digest = hashes.of(path)
    hashes.save()
    return digest


def test_a_file_is_read_once_for_all_runs(tmp_path, file, reads):
    digests = {hash_in_a_new_run(tmp_path / "cache", file) for _ in range(3)}
    assert digests == {hash_file(file)}
    assert reads == [file]
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("content", [b"two", b"longer"])
def test_a_file_that_was_written_again_is_read_again(tmp_path, file, reads, content):
    before = hash_in_a_new_run(tmp_path / "cache", file)
    file.write_bytes(content)
    os.utime(file, (LONG_AGO + 5, LONG_AGO + 5))
    assert hash_in_a_new_run(tmp_path / "cache", file) == hash_file(file) != before
    hash_in_a_new_run(tmp_path / "cache", file)
    assert len(reads) == 2


def test_a_file_written_just_now_is_not_trusted_by_its_time(tmp_path, file, reads):
    now = time.time_ns()
    os.utime(file, ns=(now, now))
    hash_in_a_new_run(tmp_path / "cache", file)
    file.write_bytes(b"two")
    os.utime(file, ns=(now, now))  # a clock that ticks slowly
    assert hash_in_a_new_run(tmp_path / "cache", file) == hash_file(file)
    assert len(reads) == 2


def test_torn_and_foreign_lines_are_passed_over(tmp_path, file, reads):
    cache = tmp_path / "cache"
    hash_in_a_new_run(cache, file)
    (path,) = cache.iterdir()
    path.write_bytes(b'[]\n7\n\xff\xfe\n["a", "x", 1, 2]\n' + path.read_bytes() + b'["' + str(file).encode())
    hash_in_a_new_run(cache, file)
    assert len(reads) == 1


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path, file, reads):
    (tmp_path / "cache").touch()
    assert hash_in_a_new_run(tmp_path / "cache", file) == hash_in_a_new_run(tmp_path / "cache", file)
    assert len(reads) == 2


def test_a_change_since_the_hash_is_refused(tmp_path, file):
    hashes = FileHashes(tmp_path / "cache", [file])
    hashes.of(file)
    hashes.refuse_changed(file)
    file.touch()
    with pytest.raises(DatasetError, match="changed while it was being encoded"):
        hashes.refuse_changed(file)
    file.unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        hashes.refuse_changed(file)
