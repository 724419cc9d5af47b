"""Tests of lora_widgets/widgets/kept_output.py."""

import pytest

from lora_widgets.widgets import kept_output
from lora_widgets.widgets.kept_output import COMPLETE_RECORDS, FoldedOutput, Record


class Handle:
    def __init__(self, bundle):
        self.bundles = [bundle]

    def update(self, bundle, *, raw):
        assert raw
        self.bundles.append(bundle)

    @property
    def html(self):
        return self.bundles[-1]["text/html"]


@pytest.fixture
def handles(monkeypatch):
    made = []

    def display(bundle, *, raw, display_id):
        assert raw
        assert display_id
        made.append(Handle(bundle))
        return made[-1]

    monkeypatch.setattr(kept_output, "display", display)
    return made


def record(name="cat"):
    return Record(f"{name}: done, <100> steps", f"<p>summary of {name}</p>", f"{name} in words", b"PNG")


def test_nothing_is_there_while_no_run_has_ended(handles):
    FoldedOutput().display()
    assert handles[0].bundles == [{"text/html": "", "text/plain": ""}]


def test_an_ended_run_is_a_closed_entry_with_its_headline_and_picture(handles):
    output = FoldedOutput()
    output.display()
    output.keep(record())
    text = handles[0].html
    assert "<details class=" in text
    assert " open" not in text
    assert "<summary>cat: done, &lt;100&gt; steps</summary><p>summary of cat</p>" in text
    assert "data:image/png;base64,UE5H" in text
    assert "cat in words" in handles[0].bundles[-1]["text/plain"]


def test_a_run_that_ended_before_it_was_displayed_is_there_too(handles):
    output = FoldedOutput()
    output.keep(record())
    output.display()
    assert "summary of cat" in handles[0].html


def test_displayed_again_the_newest_place_is_filled(handles):
    output = FoldedOutput()
    output.display()
    output.display()
    output.keep(record())
    assert handles[0].html == ""
    assert "summary of cat" in handles[1].html


def test_every_run_keeps_its_headline_and_the_newest_are_complete(handles):
    output = FoldedOutput()
    output.display()
    for number in range(COMPLETE_RECORDS + 2):
        output.keep(record(f"run{number}"))
    text = handles[0].html
    assert all(f"run{number}: done" in text for number in range(COMPLETE_RECORDS + 2))
    assert text.count("<details") == COMPLETE_RECORDS
    assert "summary of run1" not in text
    assert f"summary of run{COMPLETE_RECORDS + 1}" in text


def test_outside_a_notebook_nothing_is_displayed(monkeypatch):
    monkeypatch.setattr(kept_output, "display", lambda *args, **kwargs: None)
    output = FoldedOutput()
    output.display()
    output.keep(record())
