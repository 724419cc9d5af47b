import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.config.names import closest, did_you_mean

NAMES = ("network_dim", "network_alpha", "unet_lr", "max_train_epochs")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("netwrok_dim", "network_dim"), ("Unet-LR", "unet_lr"), ("max_train_epoch", "max_train_epochs")],
)
def test_a_misspelt_name_is_recognised(typed, meant):
    assert closest(typed, NAMES) == meant
    assert did_you_mean(typed, NAMES) == f" Did you mean `{meant}`?"


def test_an_unrelated_name_gets_no_suggestion():
    assert did_you_mean("xyzzy", NAMES) == ""


@given(st.text())
def test_any_text_is_answered(text):
    assert closest(text, NAMES) in (None, *NAMES)
