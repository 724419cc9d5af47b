"""Waiting in tests for what another thread does."""

import time


def until(condition, seconds=60):
    """Return as soon as ``condition()`` holds; fail when it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
