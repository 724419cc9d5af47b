"""Tests of lora_widgets/widgets/entries.py: what is written comes back, whatever it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.config.fields import fields_by_name
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.widgets.entries import ChoiceEntry, FlagEntry, SecretEntry, TextEntry
from lora_widgets.widgets.shared_look import Outfit, SharedLook

SPECS = fields_by_name(TrainingConfig)


def entry(kind, name, value):
    return kind(SPECS[name], value, outfit=Outfit(SharedLook(), {}, ()))


def test_a_rate_stays_as_typed():
    rate = entry(TextEntry, "unet_lr", 5e-4)
    rate.widget.value = "1e-4"
    assert rate.read() == "1e-4"


@pytest.mark.parametrize(
    "value", ["abc", "1e999", "-5", "<script>alert(1)</script>", "שלום", "9" * 1_000_000]
)
def test_text_that_is_no_number_comes_back(value):
    rate = entry(TextEntry, "unet_lr", value)
    assert rate.read() == rate.widget.value == value


@pytest.mark.parametrize(
    ("given", "ticked"), [(True, True), ("yes", True), (1, True), ("off", False), (0, False)]
)
def test_a_box_is_ticked_by_what_the_schema_accepts(given, ticked):
    flag = entry(FlagEntry, "flip_aug", not ticked)
    flag.write(given)
    assert flag.read() is flag.widget.value is ticked


@pytest.mark.parametrize("odd", ["maybe", None, 7, {}])
def test_what_a_box_cannot_show_is_kept_until_the_next_tick(odd):
    flag = entry(FlagEntry, "flip_aug", True)
    flag.write(odd)
    assert flag.read() == odd
    flag.widget.value = True
    assert flag.read() is True


def test_a_box_made_with_such_a_value_keeps_it_too():
    assert entry(FlagEntry, "flip_aug", "maybe").read() == "maybe"


def test_choices_that_are_not_active_say_so():
    options = dict(entry(ChoiceEntry, "save_model_as", "safetensors").widget.options)
    assert options["safetensors"] == "safetensors"
    assert options["ckpt (not active yet)"] == "ckpt"


def test_a_choice_is_found_in_other_spellings():
    choice = entry(ChoiceEntry, "lora_type", "ia3")
    assert choice.read() == "(IA)³"
    choice.write("dylora")
    assert choice.read() == "DyLoRA"


def test_an_unknown_choice_is_shown_as_such_and_leaves_with_the_next_value():
    choice = entry(ChoiceEntry, "model_type", "SD1.5")
    known = choice.widget.options
    choice.write("SD9")
    assert choice.read() == "SD9"
    assert choice.widget.label == "SD9 (unknown)"
    choice.write("SDXL")
    assert choice.read() == "SDXL"
    assert choice.widget.options == known


def test_none_is_a_choice_where_it_may_be():
    choice = entry(ChoiceEntry, "log_with", None)
    assert choice.read() == ""
    assert choice.widget.label == "not set"
    required = entry(ChoiceEntry, "model_type", None)
    assert required.widget.label == "nothing (unknown)"


@given(st.one_of(st.none(), st.text(), st.integers(), st.booleans(), st.lists(st.text())))
def test_no_choice_raises_or_is_lost(value):
    choice = entry(ChoiceEntry, "lr_scheduler", "cosine")
    choice.write(value)
    assert choice.read() == choice.widget.value
    assert choice.widget.value == choice.widget.options[choice.widget.index][1]


def test_a_secret_is_not_sent_to_the_page():
    secret = entry(SecretEntry, "wandb_key", "s3cr3t")
    assert secret.read() == "s3cr3t"
    assert "s3cr3t" not in str(secret.widget.get_state())
    assert secret.widget.placeholder == "set, not shown"
    secret.write("an0ther")
    assert secret.read() == "an0ther"
    assert "an0ther" not in str(secret.widget.get_state())


def test_a_secret_that_is_typed_wins_and_can_be_taken_back():
    secret = entry(SecretEntry, "wandb_key", None)
    secret.widget.value = "typed"
    assert secret.read() == "typed"
    secret.write(None)
    assert secret.read() == ""
    assert secret.widget.placeholder == "not set"
