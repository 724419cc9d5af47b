import threading
import time

import pytest

from lora_widgets.data.prefetch import Prefetcher


def test_values_come_in_order():
    with Prefetcher(lambda index: index * 10, start=3, stop=50, ahead=4) as values:
        assert list(values) == [index * 10 for index in range(3, 50)]


def test_nothing_to_do():
    with Prefetcher(lambda index: index, start=5, stop=5, ahead=4) as values:
        assert list(values) == []


def test_never_runs_further_ahead_than_asked():
    made = []
    with Prefetcher(made.append, start=0, stop=100, ahead=3) as values:
        next(values)
        time.sleep(0.05)
        assert len(made) <= 1 + 3 + 1
        next(values)


def test_error_reaches_the_consumer_after_the_values_before_it():
    def make(index):
        if index == 2:
            raise ValueError("picture 2 is damaged")
        return index

    with Prefetcher(make, start=0, stop=9, ahead=4) as values:
        assert [next(values), next(values)] == [0, 1]
        for _ in range(2):
            with pytest.raises(ValueError, match="picture 2"):
                next(values)


def test_close_ends_the_thread_and_the_iteration():
    values = Prefetcher(lambda index: index, start=0, stop=10**9, ahead=4)
    next(values)
    values.close()
    values.close()
    assert not values._thread.is_alive()
    assert list(values) == []


def test_close_frees_a_waiting_consumer():
    blocked = threading.Event()
    values = Prefetcher(lambda index: blocked.wait(), start=0, stop=5, ahead=4)
    results = []
    consumer = threading.Thread(target=lambda: results.extend(values))
    consumer.start()
    threading.Timer(0.1, blocked.set).start()
    values.close()
    consumer.join(timeout=5)
    assert not consumer.is_alive()
    assert results == []


def test_close_does_not_wait_for_a_stuck_maker(monkeypatch):
    monkeypatch.setattr("lora_widgets.data.prefetch.CLOSING_PATIENCE_S", 0.05)
    stuck = threading.Event()
    values = Prefetcher(lambda index: stuck.wait(), start=0, stop=5, ahead=4)
    begun = time.monotonic()
    values.close()
    assert time.monotonic() - begun < 1
    assert values._thread.daemon
    stuck.set()
    values._thread.join(timeout=5)
    assert not values._thread.is_alive()
