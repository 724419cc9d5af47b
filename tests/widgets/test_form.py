"""Tests of lora_widgets/widgets/form.py and of the style sheets."""

import ipywidgets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from setting_values import REQUIRED, SPECS, valid_values

from lora_widgets.config.findings import check, config_from
from lora_widgets.config.tabs import Tab
from lora_widgets.errors import ConfigError
from lora_widgets.widgets.form import Form
from lora_widgets.widgets.markup import style_tag
from lora_widgets.widgets.view import FieldView, field_views, tab_errors


class Heard(list):
    def __call__(self):
        self.append(1)


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def form(heard):
    return Form(REQUIRED, heard)


def widget_of(form, label):
    """Find a control as a user does: by its label, through the tabs."""
    found = [
        widget
        for page in form.box.children
        for widget in page.children
        if f">{label}" in getattr(widget, "description", "")
    ]
    assert len(found) == 1
    return found[0]


def titles(form):
    return [form.box.get_title(place) for place in range(7)]


def refresh(form):
    draft = check(form.values)
    form.show(field_views(draft), tab_errors(draft))
    return draft


def test_seven_tabs_in_order(form):
    assert titles(form)[1:] == [tab.value for tab in Tab][1:]
    assert len(form.box.children) == 7
    assert form.box.selected_index == 0


def test_errors_are_counted_in_the_title_from_the_start(form):
    # the default family is not active yet
    assert titles(form)[0] == "Setup (1)"
    form.change({"model_type": "SD1.5", "seed": "x", "max_train_epochs": -1})
    refresh(form)
    assert titles(form)[:2] == ["Setup", "Dataset (2)"]


def test_settings_stand_under_their_group_in_the_order_of_the_schema(form):
    for tab, page in zip(Tab, form.box.children, strict=True):
        expected = []
        for spec in (spec for spec in SPECS if spec.tab is tab):
            if f"#{spec.group}" not in expected:
                expected.append(f"#{spec.group}")
            expected.append(spec.label)
        shown = [
            f"#{child.value.split('>')[1].split('<')[0]}"
            if isinstance(child, ipywidgets.HTML)
            else child.description.split(">")[1].split("<")[0].strip()
            for child in page.children
        ]
        assert shown == [name.replace("&", "&amp;") for name in expected]


def test_a_form_is_made_of_few_models():
    made = []
    ipywidgets.Widget.on_widget_constructed(made.append)
    try:
        Form(REQUIRED, lambda: None)
    finally:
        ipywidgets.Widget.on_widget_constructed(None)
    assert len(made) <= 1.35 * len(SPECS)


def test_it_is_shown_complete_from_the_start(form):
    changed = []
    for page in form.box.children:
        for widget in page.children:
            widget.observe(changed.append)
    refresh(form)
    assert changed == []


def test_every_setting_has_a_value(form):
    assert list(form.values) == [spec.name for spec in SPECS]
    assert config_from(form.values) == config_from(REQUIRED)


@pytest.mark.parametrize("round_", range(12))
def test_all_settings_set_and_read_back_equal(form, heard, round_):
    values = {spec.name: valid_values(spec)[round_ % len(valid_values(spec))] for spec in SPECS}
    form.load(values)
    assert config_from(form.values) == config_from(values)
    assert heard == []


def test_loading_puts_defaults_in_the_place_of_what_is_not_given(form, heard):
    form.change({"seed": 7, "flip_aug": True, "lora_type": "BOFT", "clip_skip": None})
    form.load(REQUIRED)
    assert config_from(form.values) == config_from(REQUIRED)
    assert heard == []


def test_a_change_leaves_the_others_as_they_are(form, heard):
    form.change({"seed": 7})
    form.change({"network_dim": 8})
    assert (form.values["seed"], form.values["network_dim"]) == ("7", "8")
    assert heard == []


def test_other_names_of_settings_are_understood(form):
    form.change({"learning_rate": 1e-5})
    assert form.values["unet_lr"] == form.values["text_encoder_lr"] == "1e-5"


@pytest.mark.parametrize("write", [Form.load, Form.change])
def test_an_unknown_name_is_refused_before_anything_is_written(form, write):
    before = form.values
    with pytest.raises(ConfigError, match="Did you mean `seed`"):
        write(form, {"network_dim": 1, "sead": 7})
    assert form.values == before


def test_a_change_by_the_user_is_heard_once(form, heard):
    widget_of(form, "Seed").value = "12"
    assert heard == [1]
    widget_of(form, "Flip pictures").value = True
    widget_of(form, "LoRA type").value = "LoHa"
    assert heard == [1, 1, 1]
    form.load(REQUIRED)
    assert heard == [1, 1, 1]


def test_conditional_settings_appear_at_once(form):
    widget = widget_of(form, "CLIP-L")
    assert "lw-hide" in widget._dom_classes
    widget_of(form, "Model type").value = "Flux"
    refresh(form)
    assert "lw-hide" not in widget._dom_classes
    assert not widget.disabled


def test_a_setting_that_does_not_act_yet_says_so_and_cannot_be_changed(form):
    spec = next(s for s in SPECS if s.not_yet and s.only_when is None and "&" not in s.label)
    widget = widget_of(form, spec.label)
    assert "not active yet" in widget.description
    assert widget.disabled


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("abc", "must be a number"),
        ("1e999", "must be a finite number"),
        ("-1", "must be at least 0"),
        ("", "must be a number"),
        ("<script>alert(1)</script>", "must be a number"),
        ("שלום", "must be a number"),
        ("$x$ @@0@@", "must be a number"),
        ("9" * 1_000_000, "must be"),
        ("x" * 1_000_000, "must be"),
    ],
)
def test_bad_input_is_explained_at_its_field_and_the_rest_works_on(form, text, shown):
    widget = widget_of(form, "UNet rate")
    widget.value = text
    draft = refresh(form)
    assert draft.config is None
    assert shown in widget.description
    assert len(widget.description) < 2000
    assert "<script" not in widget.description
    assert "lw-bad" in widget._dom_classes
    assert titles(form)[3] == "Learning Rate (1)"
    widget_of(form, "Multi-resolution noise").value = True
    refresh(form)
    assert "lw-hide" not in widget_of(form, "Multi-resolution discount")._dom_classes
    widget.value = "1e-4"
    refresh(form)
    assert "lw-bad" not in widget._dom_classes
    assert titles(form)[3] == "Learning Rate"


def test_an_unknown_choice_is_explained_at_its_field(form):
    form.change({"lora_type": "MegaLoRA"})
    refresh(form)
    widget = widget_of(form, "LoRA type")
    assert "must be one of" in widget.description
    assert widget.label == "MegaLoRA (unknown)"


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.lists(st.text())
)
SHARED = []


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from([spec.name for spec in SPECS]), ODD, max_size=15))
def test_whatever_is_loaded_is_shown_without_an_exception(values):
    if not SHARED:
        SHARED.append(Form(REQUIRED, lambda: None))
    form = SHARED[0]
    form.load(values)
    draft = refresh(form)
    for name, view in field_views(draft).items():
        assert isinstance(view, FieldView)
        assert name in form.values


def test_all_style_sheets_are_in_the_style_element():
    tag = style_tag()
    assert ".lw-monitor" in tag
    assert ".lw-form .lw-grid" in tag
    assert tag.count("<style>") == tag.count("</style>") == 1
