"""Tests of lora_widgets/widgets/settled_click.py."""

import threading
import time

import ipywidgets
import pytest
from until import until

from lora_widgets.widgets import settled_click
from lora_widgets.widgets.settled_click import SettledClick


@pytest.fixture
def button():
    return ipywidgets.Button()


@pytest.fixture
def told():
    return []


def test_what_arrives_after_the_click_is_seen_by_the_action(button, told, monkeypatch):
    monkeypatch.setattr(settled_click, "SETTLE_S", 0.1)
    text = ipywidgets.Text("a")
    SettledClick(button, lambda: told.append(text.value), failed=told.append)
    button.click()
    text.value = "abcdef"
    until(lambda: told)
    assert told == ["abcdef"]


def test_a_second_click_meanwhile_changes_nothing(button, told, monkeypatch):
    monkeypatch.setattr(settled_click, "SETTLE_S", 0.05)
    gate = threading.Event()

    def action():
        told.append(1)
        assert gate.wait(10)

    SettledClick(button, action, failed=told.append)
    button.click()
    button.click()
    until(lambda: told)
    button.click()
    gate.set()
    time.sleep(0.2)
    assert told == [1]
    button.click()
    until(lambda: told == [1, 1])


def test_an_exception_is_handed_over_and_the_next_click_works(button, told, monkeypatch):
    monkeypatch.setattr(settled_click, "SETTLE_S", 0.0)

    def action():
        raise ValueError("oops")

    SettledClick(button, action, failed=told.append)
    button.click()
    until(lambda: len(told) == 1)
    time.sleep(0.05)
    button.click()
    until(lambda: len(told) == 2)
    assert [str(error) for error in told] == ["oops", "oops"]
