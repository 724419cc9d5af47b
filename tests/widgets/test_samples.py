"""Tests of lora_widgets/widgets/sample_table.py and samples_view.py."""

import ipywidgets

from lora_widgets.widgets.sample_table import NEWEST_COLUMNS, Sample, SampleTable
from lora_widgets.widgets.samples_view import SamplesView
from lora_widgets.widgets.thumbnails import thumbnail


def table_of(*events):
    table = SampleTable()
    for event in events:
        table.add(Sample(event, thumbnail(event.path)))
    return table


def view_of(*events):
    view = SamplesView(ipywidgets.Layout())
    for event in events:
        view.take(event)
    view.draw()
    return view


def titles(view):
    grid = view.box.children[1]
    return [column.value.split("lw-column-title")[1].split("<")[0][2:] for column in grid.children[1:]]


def test_the_baseline_comes_first_even_when_it_arrives_last(sample):
    assert titles(view_of(sample(50), sample(0))) == ["Before", "Step 50"]


def test_the_baseline_and_the_newest_columns_stay(sample):
    table = table_of(*(sample(step) for step in range(0, 1000, 100)))
    assert table.steps == [0, *range(1000 - 100 * NEWEST_COLUMNS, 1000, 100)]
    assert table.dropped == 10 - 1 - NEWEST_COLUMNS


def test_prompts_are_rows(sample):
    table = table_of(sample(0, 0, prompt="a dog"), sample(0, 1, prompt="a cat"))
    assert table.prompts_html().index("a dog") < table.prompts_html().index("a cat")
    assert table.column_html(0).count("<img") == 2


def test_rows_are_as_high_in_every_column(sample):
    table = table_of(sample(0, 0), sample(0, 1), sample(9, 1))
    heights = [
        table.prompts_html().count("--lw-cell"),
        table.column_html(0).count("--lw-cell"),
        table.column_html(9).count("--lw-cell"),
    ]
    assert heights == [2, 2, 2]


def test_a_new_picture_sends_only_its_column(sample):
    view = view_of(sample(0), sample(10))
    sent = []
    for widget in view.box.children[1].children:
        widget.observe(lambda change: sent.append(change["owner"]), "value")
    view.take(sample(20))
    view.draw()
    assert sent == []
    assert titles(view)[-1] == "Step 20"


def test_widgets_of_dropped_columns_are_used_again(sample):
    view = view_of(sample(0))
    seen = set()
    for step in range(10, 300, 10):
        view.take(sample(step))
        view.draw()
        seen.update(widget.model_id for widget in view.box.children[1].children)
    assert len(seen) == 1 + 1 + NEWEST_COLUMNS
    assert titles(view)[0] == "Before"
    assert titles(view)[-1] == "Step 290"


def test_nothing_is_drawn_twice(sample):
    view = view_of(sample(0))
    before = view.box.children[1].children
    view.draw()
    assert view.box.children[1].children is before


def test_what_is_kept_has_the_baseline_and_the_end(sample):
    kept = view_of(*(sample(step) for step in (0, 10, 20))).kept_html()
    assert kept.count("<img") == 3
    assert "Before" in kept
    assert "Step 20" in kept


def test_what_is_kept_does_not_swell_the_notebook(sample, monkeypatch):
    view = view_of(*(sample(step) for step in (0, 10, 20, 30)))
    monkeypatch.setattr("lora_widgets.widgets.samples_view.KEPT_BYTES", 10)
    kept = view.kept_html()
    assert kept.count("<img") == 2
    assert "Before" in kept
    assert "Step 30" in kept


def test_without_samples_nothing_is_kept():
    assert view_of().kept_html() == ""


def test_a_hostile_prompt_stays_text(sample):
    hostile = "<script>alert(1)</script>\" onload='x'"
    view = view_of(sample(0, prompt=hostile))
    everything = view.kept_html() + "".join(widget.value for widget in view.box.children[1].children)
    assert "<script" not in everything
    assert "&lt;script&gt;" in everything
    assert "onload='" not in everything
