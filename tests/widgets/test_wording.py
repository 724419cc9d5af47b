"""Tests of lora_widgets/widgets/wording.py."""

import pytest

from lora_widgets.widgets.wording import duration, file_size, per_step, size


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (185, "3:05"), (7207, "2:00:07")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (3_400_000, "3.4 MB"), (345_678, "346 kB"), (1_230_000_000, "1.2 GB")],
)
def test_sizes(num_bytes, text):
    assert size(num_bytes) == text


def test_step_times():
    assert per_step(0.1352) == "0.135 s"
    assert per_step(2.44) == "2.4 s"


def test_a_folder_counts_all_its_files(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 600)
    (tmp_path / "b").write_bytes(b"x" * 300)
    assert file_size(str(tmp_path)) == "900 B"
    assert file_size(str(tmp_path / "missing")) == ""
