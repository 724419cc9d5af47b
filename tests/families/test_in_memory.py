"""Memory that is free goes back to the system."""

import os
import subprocess
import sys

import pytest

HELD = """
from lora_widgets.families.in_memory import keep_large_blocks_apart

def resident():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

def one(megabytes):
    return b"x" * (megabytes * 2**20)

{first}
one(30)  # from now on the C library would put blocks of up to 30 MB side by side
before, blocks = resident(), [one(8) for _ in range(10)]
del blocks[:-1]
print(resident() - before)
"""


def megabytes_held(first):
    """Return what a program holds that has taken ten blocks of 8 MB and freed all but the last."""
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    command = [sys.executable, "-c", HELD.format(first=first)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return int(done.stdout) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux")
def test_a_large_block_that_is_free_is_not_kept_for_one_behind_it():
    assert megabytes_held("keep_large_blocks_apart()") < 20
