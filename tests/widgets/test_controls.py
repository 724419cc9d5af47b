"""Tests of lora_widgets/widgets/controls.py, over every setting."""

import ipywidgets
import pytest
from setting_values import SPECS, as_stored, valid_values

from lora_widgets.config.fields import fields_by_name
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.widgets.controls import controls
from lora_widgets.widgets.view import FieldView

EACH_SETTING = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


def control_of(name):
    return controls([fields_by_name(TrainingConfig)[name]])[name]


def sent_by(widget):
    """List the names of the traits that change from now on."""
    sent = []
    widget.observe(lambda change: sent.append(change["name"]))
    return sent


@EACH_SETTING
def test_every_value_is_read_back_equal(spec):
    control = controls([spec])[spec.name]
    values = valid_values(spec)
    assert len(values) >= 2
    for value in values:
        control.write(value)
        assert as_stored(spec, control.read()) == as_stored(spec, value)


@EACH_SETTING
def test_a_control_begins_with_its_value(spec):
    for value in valid_values(spec):
        control = controls([spec], values={spec.name: value})[spec.name]
        assert as_stored(spec, control.read()) == as_stored(spec, value)


@EACH_SETTING
def test_what_was_read_can_be_written_again(spec):
    control = controls([spec])[spec.name]
    for value in [
        *valid_values(spec),
        "abc",
        "1e999",
        "-1",
        "<script>",
        "שלום",
        7,
        None,
        [],
        "x" * 1_000_000,
    ]:
        control.write(value)
        read = control.read()
        control.write(read)
        assert control.read() == read


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("flip_aug", ipywidgets.Checkbox),
        ("lora_type", ipywidgets.Dropdown),
        ("wandb_key", ipywidgets.Password),
        ("sample_prompts", ipywidgets.Textarea),
        ("unet_lr", ipywidgets.Text),
        ("clip_skip", ipywidgets.Text),
        ("resolution", ipywidgets.Text),
        ("vae_path", ipywidgets.Text),
    ],
)
def test_the_type_of_a_setting_chooses_its_control(name, kind):
    assert type(control_of(name).widget) is kind


def test_text_is_sent_when_it_is_complete():
    for control in controls(SPECS).values():
        if isinstance(control.widget, ipywidgets.Text | ipywidgets.Textarea):
            assert not control.widget.continuous_update


def test_a_change_by_the_user_is_heard_and_one_by_the_program_is_not():
    for spec in SPECS:
        control = controls([spec])[spec.name]
        heard = []
        control.on_change(lambda heard=heard: heard.append(1))
        for value in valid_values(spec):
            control.write(value)
        control.write("unheard of")
        assert heard == []
        control.write(valid_values(spec)[0])
        widget = control.widget
        if isinstance(widget, ipywidgets.Checkbox):
            widget.value = not widget.value
        elif isinstance(widget, ipywidgets.Dropdown):
            widget.index = 0 if widget.index else 1
        else:
            widget.value += "x"
        assert heard == [1]


def test_a_view_sets_label_state_and_classes_once():
    control = control_of("seed")
    view = FieldView(visible=False, enabled=False, reason="for a reason", error="an error")
    control.show(view)
    assert {"lw-field", "lw-hide", "lw-off", "lw-bad"} == set(control.widget._dom_classes)
    assert control.widget.disabled
    assert "for a reason" in control.widget.description
    assert "an error" in control.widget.description
    sent = sent_by(control.widget)
    control.show(view)
    assert sent == []
    control.show(FieldView())
    assert set(sent) == {"description", "disabled", "_dom_classes"}
    assert set(control.widget._dom_classes) == {"lw-field"}
    assert not control.widget.disabled


def test_only_what_changed_is_sent():
    control = control_of("seed")
    sent = sent_by(control.widget)
    control.show(FieldView(visible=False))
    assert sent == ["_dom_classes"]


def test_a_view_given_at_the_start_is_shown_at_once():
    view = FieldView(enabled=False, reason="for a reason")
    spec = fields_by_name(TrainingConfig)["flip_aug"]
    control = controls([spec], views={"flip_aug": view})["flip_aug"]
    assert control.widget.disabled
    assert set(control.widget._dom_classes) == {"lw-field", "lw-flag", "lw-off"}
    sent = sent_by(control.widget)
    control.show(view)
    assert sent == []


def test_controls_share_one_layout_and_one_style_of_each_class():
    widgets = [control.widget for control in controls(SPECS).values()]
    assert len({widget.layout.model_id for widget in widgets}) == 1
    kinds = {type(widget) for widget in widgets}
    assert len({widget.style.model_id for widget in widgets}) == len(kinds)
