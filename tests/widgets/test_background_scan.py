"""Tests of lora_widgets/widgets/background_scan.py."""

import threading
import time

import pytest
from until import until

from lora_widgets.config.findings import Facts, Severity
from lora_widgets.widgets import background_scan
from lora_widgets.widgets.background_scan import BackgroundScan
from lora_widgets.widgets.look_around import Seen

VALUES = {"train_data_dir": "a", "unet_lr": "1"}


class Disk:
    """Looks as slowly as asked for, and remembers what it was asked."""

    def __init__(self):
        self.asked, self.gates, self.forgotten = [], {}, 0

    def __call__(self, values):
        folder = values["train_data_dir"]
        self.asked.append(folder)
        if folder in self.gates:
            assert self.gates[folder].wait(10)
        if folder == "broken":
            raise ZeroDivisionError("oops")
        return Seen(Facts(taken_names=frozenset({folder})))

    def forget(self):
        self.forgotten += 1


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def found():
    return []


@pytest.fixture
def scan(disk, found, monkeypatch):
    monkeypatch.setattr(background_scan, "DELAY_S", 0.02)
    return BackgroundScan(lambda: found.append(scan_holds()), lock=threading.RLock(), look=disk)


def scan_holds():
    return threading.current_thread().name


def taken(scan):
    return set(scan.seen.facts.taken_names)


def test_the_first_look_begins_at_once_on_a_thread_of_its_own(scan, found):
    scan.watch(VALUES)
    assert scan.pending
    until(lambda: found)
    assert found == ["lora-widgets-scan"]
    assert taken(scan) == {"a"}
    assert not scan.pending


def test_looking_again_on_request_takes_nothing_from_the_last_look(scan, disk, found):
    scan.watch(VALUES)
    until(lambda: found)
    assert disk.forgotten == 0
    scan.again(VALUES)
    until(lambda: len(found) == 2)
    assert disk.forgotten == 1


def test_settings_that_do_not_matter_cause_no_look(scan, disk):
    scan.watch(VALUES)
    scan.watch({**VALUES, "unet_lr": "2"})
    until(lambda: not scan.pending)
    time.sleep(0.05)
    assert disk.asked == ["a"]


def test_many_changes_at_a_time_cause_one_look(scan, disk, found):
    scan.watch(VALUES)
    until(lambda: found)
    for folder in "bcdef":
        scan.watch({"train_data_dir": folder})
    until(lambda: taken(scan) == {"f"})
    assert disk.asked == ["a", "f"]


def test_a_look_that_was_overtaken_is_dropped(scan, disk, found):
    disk.gates["a"] = threading.Event()
    scan.watch(VALUES)
    until(lambda: disk.asked == ["a"])
    scan.watch({"train_data_dir": "b"})
    until(lambda: taken(scan) == {"b"})
    disk.gates["a"].set()
    time.sleep(0.1)
    assert taken(scan) == {"b"}
    assert len(found) == 1


def test_what_was_seen_of_another_folder_is_forgotten_at_once(scan, found):
    scan.watch(VALUES)
    until(lambda: found)
    scan.watch({**VALUES, "output_dir": "elsewhere"})
    assert taken(scan) == set()
    assert scan.pending


def test_it_looks_again_when_asked_although_nothing_changed(scan, disk, found):
    scan.watch(VALUES)
    until(lambda: found)
    scan.again(VALUES)
    assert scan.pending
    until(lambda: len(found) == 2)
    scan.watch(VALUES)
    assert not scan.pending
    assert disk.asked == ["a", "a"]


def test_a_mistake_of_the_program_becomes_a_finding_and_blocks_nothing(scan, found):
    scan.watch({"train_data_dir": "broken"})
    until(lambda: found)
    (finding,) = scan.seen.findings
    assert finding.severity is Severity.WARNING
    assert "ZeroDivisionError: oops" in finding.message
    assert not scan.pending


def test_results_wait_for_the_lock(disk, found):
    lock = threading.RLock()
    scan = BackgroundScan(lambda: found.append(1), lock=lock, look=disk)
    with lock:
        scan.watch(VALUES)
        until(lambda: disk.asked)
        time.sleep(0.05)
        assert scan.pending
        assert not found
    until(lambda: found)


def test_its_threads_do_not_keep_a_process_alive(scan, disk):
    disk.gates["a"] = threading.Event()
    scan.watch(VALUES)
    until(lambda: disk.asked)
    threads = [thread for thread in threading.enumerate() if thread.name == "lora-widgets-scan"]
    assert threads
    assert all(thread.daemon for thread in threads)
    disk.gates["a"].set()
