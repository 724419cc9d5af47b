"""Tests of lora_widgets/widgets/memory.py."""

from lora_widgets.widgets.memory import resident_bytes


def test_memory_grows_with_what_is_held():
    before = resident_bytes()
    held = bytearray(b"x") * 80_000_000
    assert resident_bytes() - before > 60_000_000
    assert len(held) == 80_000_000


def test_memory_is_known_without_proc(monkeypatch, tmp_path):
    monkeypatch.setattr("lora_widgets.widgets.memory._STATM", tmp_path / "missing")
    assert resident_bytes() > 5_000_000
