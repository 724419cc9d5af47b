"""The panel's form in real pages of both generations: every tab, every kind of control, every setting."""

import pytest
from other_values import entered, other_values
from panel_view import PanelView
from playwright.sync_api import expect
from pydantic import SecretStr

from lora_widgets.config.fields import fields
from lora_widgets.config.tabs import Tab
from lora_widgets.config.training_config import TrainingConfig

pytestmark = pytest.mark.browser

SPECS = fields(TrainingConfig)
ENCODER_PATHS = {"clip_l_path", "clip_g_path", "t5xxl_path"}
PATHS_OF = {"Flux": ENCODER_PATHS - {"clip_g_path"}, "SDXL": set(), "SD3": ENCODER_PATHS, "SD1.5": set()}
EMPTY_PANEL = "panel = new_panel(TrainingConfig(**REQUIRED))"


@pytest.fixture
def panel(notebook):
    return PanelView(notebook)


def test_every_tab_shows_its_groups_and_settings(panel):
    panel.show()
    shown = panel.read_all()
    for tab in Tab:
        panel.open_tab(tab.value)
        of_tab = [spec for spec in SPECS if spec.tab is tab]
        groups = list(dict.fromkeys(spec.group for spec in of_tab))
        expect(panel.root.locator(".lw-group:visible")).to_have_text(groups)
        visible = [spec.name for spec in of_tab if not shown[spec.name]["hidden"]]
        expect(panel.root.locator(".lw-field:visible")).to_have_count(len(visible))
    assert all(control["labelled"] for control in shown.values())


def test_every_kind_of_control_reaches_the_configuration(panel):
    panel.show()
    panel.open_tab("Dataset")
    panel.enter("train_batch_size", "4")
    panel.control("flip_aug").check()
    panel.open_tab("Learning Rate")
    panel.enter("unet_lr", "3e-4")
    panel.control("lr_scheduler").select_option("linear")
    panel.open_tab("Saving")
    panel.control("sample_prompts").fill("one <b>\nütwo")
    panel.open_tab("Setup")
    panel.control("project_name").focus()
    panel.page.keyboard.press("Control+A")
    panel.page.keyboard.type("by-keyboard")
    panel.page.keyboard.press("Enter")
    panel.notebook.wait_for("panel.config.project_name == 'by-keyboard'")
    names = ("train_batch_size", "flip_aug", "unet_lr", "lr_scheduler", "sample_prompts")
    values = panel.notebook.ask(f"[getattr(panel.config, name) for name in {names}]")
    assert values == [4, True, 3e-4, "linear", "one <b>\nütwo"]


def test_every_setting_that_can_be_changed_is_read_back_as_entered(panel):
    panel.show(EMPTY_PANEL)
    values = {name: entered(value) for name, value in other_values().items()}
    greyed = dict(values)
    # A setting without effect is greyed; what is entered elsewhere may bring it back.
    while now := {name: values[name] for name in greyed if not panel.read_all()[name]["disabled"]}:
        assert panel.set_all(now) == []
        panel.notebook.wait_for(f"all(panel.form.values[name] == value for name, value in {now!r}.items())")
        greyed = {name: value for name, value in greyed.items() if name not in now}
    shown = panel.read_all()
    assert all(shown[name]["reason"] for name in greyed)
    assert len(greyed) <= sum(spec.not_yet for spec in SPECS) + 3
    read = panel.notebook.ask("{name: entered(value) for name, value in panel.config}")
    assert {name: read[name] for name in values if name not in greyed} == {
        name: value for name, value in values.items() if name not in greyed
    }


def test_a_configuration_from_another_cell_appears_in_every_control(panel):
    panel.show(EMPTY_PANEL)
    panel.notebook.run("panel.config = TrainingConfig(**other_values())", cell=1)
    expect(panel.control("log_prefix")).to_have_value(entered(other_values()["log_prefix"]))
    shown = {name: control["value"] for name, control in panel.read_all().items()}
    expected = {n: "" if isinstance(v, SecretStr) else entered(v) for n, v in other_values().items()}
    assert shown == expected


def test_settings_appear_with_what_they_depend_on(panel):
    panel.show()
    for family, paths in PATHS_OF.items():
        panel.choose("model_type", family)
        panel.notebook.wait_for(f"panel.form.values['model_type'] == {family!r}")
        for name in ENCODER_PATHS:
            expect(panel.control(name)).to_be_visible(visible=name in paths)
    panel.open_tab("Advanced")
    expect(panel.control("ip_noise_gamma")).to_be_hidden()
    panel.control("ip_noise_gamma_enabled").check()
    expect(panel.control("ip_noise_gamma")).to_be_visible()
    expect(panel.control("adaptive_noise_scale")).to_be_disabled()
    panel.enter("noise_offset", "0.1")
    expect(panel.control("adaptive_noise_scale")).to_be_enabled()


def test_steps_and_findings_follow_the_form(panel):
    panel.show("panel = new_panel(demo(max_train_steps=0, max_train_epochs=8))")
    expect(panel.steps).to_have_text("160")
    expect(panel.arithmetic).to_contain_text("16 pictures × 10 repeats = 160")
    expect(panel.arithmetic).to_contain_text("160 ÷ batch 8 = 20 steps per epoch")
    panel.open_tab("Dataset")
    panel.enter("train_batch_size", "4")
    expect(panel.steps).to_have_text("320")
    panel.control("random_crop").check()
    error = panel.findings.locator(".lw-finding-error")
    expect(error).to_contain_text("Cannot use Random Crop with Latent Caching")
    expect(error).to_contain_text("Dataset: Random crop")
    expect(panel.root.get_by_role("tab", name="Dataset (1)")).to_be_visible()
    panel.fix("Turn random_crop off")
    expect(error).to_have_count(0)
    expect(panel.control("random_crop")).not_to_be_checked()
    assert panel.notebook.ask("panel.config.random_crop") is False


def test_a_folder_that_vanishes_is_said_where_it_was_chosen(panel, tmp_path):
    panel.show()
    expect(panel.steps).to_have_text("160")
    panel.open_tab("Dataset")
    panel.enter("train_data_dir", str(tmp_path / "gone"))
    expect(panel.error_of("train_data_dir")).to_be_visible()
    expect(panel.steps).to_have_text("–")
    panel.enter("train_data_dir", "demo")
    expect(panel.steps).to_have_text("160")


BAD = {
    "letters": ("train_batch_size", "a few"),
    "no finite number": ("unet_lr", "1e999"),
    "negative": ("network_dim", "-4"),
    "one megabyte": ("output_name", "x" * 1_000_000),
    "markup": ("project_name", "<script>document.title = 'hacked'</script><img src=x onerror=alert(1)>"),
    "right to left": ("num_repeats", "\u202eعشرة"),
}
TABS = {spec.name: spec.tab.value for spec in SPECS}


def test_bad_values_are_named_at_their_field_and_harm_nothing_else(panel):
    panel.show()
    for setting, text in BAD.values():
        panel.open_tab(TABS[setting])
        panel.enter(setting, text)
        expect(panel.error_of(setting)).to_be_visible()
    assert panel.page.title() != "hacked"
    assert (
        panel.root.locator(".lw-findings script, .lw-findings img, .lw-field script, .lw-field img").count()
        == 0
    )
    bad = {name for name, control in panel.read_all().items() if control["bad"]}
    assert bad == {setting for setting, _ in BAD.values()}
    expect(panel.findings).to_contain_text("must be a whole number")
    assert panel.notebook.ask("panel.config") is None
    panel.open_tab("Dataset")
    panel.enter("seed", "7")
    panel.notebook.wait_for("panel.form.values['seed'] == '7'")
    for setting in bad:
        assert panel.set_all({setting: entered(other_values()[setting])}) == []
    panel.notebook.wait_for("panel.config is not None and panel.config.seed == 7")
    expect(panel.root.locator(".lw-bad")).to_have_count(0)
