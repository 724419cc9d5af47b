from typing import Annotated, get_args, get_type_hints

import annotated_types
import pytest
from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo

from lora_widgets.catalog.optimizers import OPTIMIZERS
from lora_widgets.config.buckets import Buckets
from lora_widgets.config.fields import Bounds, NotYet, OneOf, OnlyWhen, Ui, fields, fields_by_name
from lora_widgets.config.section import Section
from lora_widgets.config.tabs import Tab
from lora_widgets.config.training_config import TrainingConfig

SPECS = fields(TrainingConfig)
MARKERS = (Ui, OneOf, OnlyWhen, NotYet, Bounds, FieldInfo, annotated_types.BaseMetadata)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_setting_is_explained_and_labelled(spec):
    assert spec.label != spec.name, "a label in words"
    assert len(spec.tooltip) <= 130, "the first sentence fits a tooltip"
    assert spec.help[0].isupper() or spec.help[0].isdigit()
    assert spec.help.endswith(".")
    assert "  " not in spec.help


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_number_has_limits_and_every_default_is_within(spec):
    if spec.type in (int, float):
        assert spec.bounds.minimum is not None or spec.bounds.above is not None
        assert spec.bounds.maximum is not None or spec.bounds.below is not None
    if spec.choices and spec.default is not None:
        assert spec.default in spec.choices


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_conditions_name_settings_and_values_that_exist(spec):
    if spec.only_when is None:
        return
    other = fields_by_name(TrainingConfig)[spec.only_when.setting]
    allowed = other.choices or (True, False)
    assert spec.only_when.values
    assert set(spec.only_when.values) <= set(allowed)


def nested_metadata(hint):
    return [
        inner
        for member in get_args(hint)
        for inner in (member, *get_args(member))
        if getattr(inner, "__metadata__", ())
    ]


@pytest.mark.parametrize("section", TrainingConfig.__bases__, ids=lambda section: section.__name__)
def test_no_metadata_hides_inside_a_union(section):
    for name, hint in get_type_hints(section, include_extras=True).items():
        if name in section.model_fields:
            assert any(isinstance(marker, MARKERS) for marker in hint.__metadata__)
            assert not nested_metadata(get_args(hint)[0]), name


def test_the_test_for_nested_metadata_can_fail():
    assert nested_metadata(Annotated[int, Field(ge=1)] | None)


def test_settings_come_in_the_order_of_the_seven_tabs():
    tabs = [spec.tab for spec in SPECS]
    assert list(dict.fromkeys(tabs)) == list(Tab)
    assert [tab for tab, previous in zip(tabs, [None, *tabs], strict=False) if tab is not previous] == list(
        Tab
    )
    assert len({spec.name for spec in SPECS}) == len(SPECS) == len(TrainingConfig.model_fields)


def test_a_section_lists_its_own_settings():
    assert [spec.name for spec in fields(Buckets)][:1] == ["enable_bucket"]
    assert all(spec.group == "Buckets" for spec in fields(Buckets))


class Example(Section, tab=Tab.SETUP, group="Example"):
    choice: Annotated[str | None, OneOf(OPTIMIZERS), Ui("Choice")] = None
    """Choice."""
    amount: Annotated[int | None, Field(ge=1), Ui("Amount")] = None
    """Amount."""


@pytest.mark.parametrize("text", ["AdamW8bit", "adamw8bit", "ADAMW 8-bit", "adamw_8bit"])
def test_choices_forgive_case_and_signs(text):
    assert Example(choice=text).choice == "AdamW8bit"


def test_bytes_are_no_way_around_the_table():
    assert Example(choice=b"adamw8bit").choice == "AdamW8bit"
    with pytest.raises(ValidationError):
        Example(choice=b"x")


def test_a_new_row_of_a_table_is_a_new_choice():
    table = {"one": None}
    choice = OneOf(table)
    table["two"] = None
    assert choice.canonical("TWO") == "two"
    assert Example.model_json_schema()["properties"]["choice"]["enum"] == list(OPTIMIZERS)


@pytest.mark.parametrize(
    "bad", [{"choice": "Adamm"}, {"amount": 0}, {"amount": True}, {"amount": 1.5}, {"x": 1}]
)
def test_anything_else_is_refused(bad):
    with pytest.raises(ValidationError):
        Example(**bad)


def test_empty_text_means_not_set():
    assert Example(choice="", amount="").choice is None


def test_limits_are_said_in_words():
    assert str(Bounds(minimum=1, below=5)) == "at least 1 and below 5"
    assert fields_by_name(TrainingConfig)["resolution"].bounds == Bounds(minimum=64, maximum=8192)
