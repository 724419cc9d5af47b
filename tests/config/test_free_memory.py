import sys

import pytest

from lora_widgets.config import free_memory as module
from lora_widgets.config.free_memory import ask_gpu, free_gpu_bytes, free_memory_bytes


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Let the system say what a test writes into these files."""
    monkeypatch.setattr(module, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(module, "CONTAINER", tmp_path)
    return tmp_path


def test_a_system_that_does_not_say_is_unknown(machine):
    assert free_memory_bytes() is None
    (machine / "meminfo").write_text("MemTotal: much\nMemAvailable:\n")
    assert free_memory_bytes() is None


def test_the_machine_says_what_is_available(machine):
    (machine / "meminfo").write_text("MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable:    2000 kB\n")
    (machine / "memory.max").write_text("max\n")
    assert free_memory_bytes() == 2_048_000


def test_a_container_can_have_less(machine):
    (machine / "meminfo").write_text("MemAvailable: 2000 kB\n")
    (machine / "memory.max").write_text("1000000\n")
    (machine / "memory.current").write_text("900000\n")
    (machine / "memory.stat").write_text("anon 500000\ninactive_file 300000\n")
    assert free_memory_bytes() == 400_000
    (machine / "memory.stat").write_text("anon 900000\n")
    (machine / "memory.current").write_text("1200000\n")
    assert free_memory_bytes() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="the driver's program is a script here")
def test_the_first_gpu_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (ask_gpu("name"), free_gpu_bytes()) == ("", None)
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\ncase "$1" in *name) echo "NVIDIA H200"; echo x;; *) echo 7; echo 9;; esac')
    program.chmod(0o755)
    assert (ask_gpu("name"), free_gpu_bytes()) == ("NVIDIA H200", 7 * 2**20)
    program.write_text("#!/bin/sh\necho no driver; exit 9")
    assert (ask_gpu("name"), free_gpu_bytes()) == ("", None)
