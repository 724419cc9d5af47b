"""Tests of lora_widgets/preview/background_look.py."""

import threading

import pytest
from preview_folder import draw
from until import until

from lora_widgets.preview import background_look
from lora_widgets.preview.background_look import BackgroundLook


@pytest.fixture
def paths(tmp_path):
    return {number: draw(tmp_path / f"{number}.png", (32, 32)) for number in range(40)}


@pytest.fixture
def order(monkeypatch):
    """Record which pictures are opened, in order."""
    opened = []
    real = background_look.look_at

    def look_at(path, side):
        opened.append(int(path.stem))
        return real(path, side)

    monkeypatch.setattr(background_look, "look_at", look_at)
    return opened


def test_every_picture_is_opened_once_and_the_wanted_first(paths, order):
    background = BackgroundLook(paths, side=32, arrived=lambda: None)
    background.want([31, 30])
    until(lambda: background.is_complete)
    assert sorted(order) == sorted(paths)
    assert set(order[:2]) == {30, 31}
    assert background.looks.keys() == paths.keys()


def test_a_new_wish_overtakes_the_rest(paths, order):
    gate = threading.Event()
    background = BackgroundLook(paths, side=32, arrived=lambda: gate.wait(20))
    background.want([0])
    until(lambda: len(order) == 1)
    background.want([39])
    gate.set()
    until(lambda: background.is_complete)
    assert order[:2] == [0, 39]


def test_of_many_pictures_those_on_the_page_are_opened_again(paths, order, monkeypatch):
    monkeypatch.setattr(background_look, "MAX_KEPT", 20)
    background = BackgroundLook(paths, side=32, arrived=lambda: None)
    background.want([0])
    until(lambda: background.is_complete)
    assert all(look.measures for look in background.looks.values())
    gone = next(number for number, look in background.looks.items() if look.url is None)
    assert not background.are_ready([0, gone])
    background.want([0, gone])
    until(lambda: background.are_ready([0, gone]))
    assert order.count(gone) == 2
    assert order.count(0) == 1


def test_a_mistake_ends_the_thread_and_is_kept(paths, monkeypatch):
    def broken(path, side):
        raise ZeroDivisionError("none of ours")

    arrivals = []
    monkeypatch.setattr(background_look, "look_at", broken)
    background = BackgroundLook(paths, side=32, arrived=lambda: arrivals.append(1))
    background.want([0])
    until(lambda: arrivals)
    assert isinstance(background.problem, ZeroDivisionError)


def test_closing_ends_it_soon(paths, order):
    gate = threading.Event()
    background = BackgroundLook(paths, side=32, arrived=lambda: gate.wait(20))
    background.want([0])
    until(lambda: len(order) == 1)
    background.close()
    gate.set()
    until(lambda: background._thread is None)
    assert order == [0]
    background.want([5])
    assert background._thread is None
