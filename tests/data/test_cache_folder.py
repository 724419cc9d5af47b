from pathlib import Path

import pytest

from lora_widgets.data import cache_folder as module
from lora_widgets.data.cache_folder import cache_folder


@pytest.fixture
def on_linux(monkeypatch):
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def test_the_setting_decides(on_linux):
    assert cache_folder("/drive/cache") == Path("/drive/cache")
    assert cache_folder("~/cache") == Path("/home/someone/cache")


@pytest.mark.parametrize("setting", [None, "", " "])
def test_an_empty_setting_means_the_cache_of_the_user(on_linux, setting):
    assert cache_folder(setting) == Path("/home/someone/.cache/lora-widgets")


@pytest.mark.parametrize(("given", "base"), [("/x", "/x"), ("relative", "/home/someone/.cache")])
def test_the_variable_of_the_system_is_honoured(on_linux, monkeypatch, given, base):
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert cache_folder(None) == Path(base) / "lora-widgets"
