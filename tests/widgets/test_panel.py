"""Tests of lora_widgets/widgets/panel.py, without any front end and without training."""

import shutil
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import traitlets
from driven_panel import LookAfter, enter, is_settled, mistake, settings_of, start_and_wait
from PIL import Image
from until import until

from lora_widgets.config.findings import Facts, Severity, check
from lora_widgets.widgets import kept_output, known_pictures
from lora_widgets.widgets import panel as panel_module
from lora_widgets.widgets.look_around import Seen

# Traits


def test_the_traits_tell_what_was_entered(panel, config):
    assert panel.config == config
    assert panel.steps.total_steps == 240
    assert panel.run is None
    enter(panel, "max_train_steps", "40")
    assert panel.config.max_train_steps == 40
    assert panel.steps.total_steps == 40


def test_while_a_value_is_invalid_there_is_no_config(panel):
    enter(panel, "unet_lr", "fast")
    assert panel.config is None
    assert panel.steps is None
    assert "unet_lr" in settings_of(panel, Severity.ERROR)
    enter(panel, "unet_lr", "1e-4")
    assert panel.config.unet_lr == 1e-4


def test_observers_see_all_traits_changed(panel):
    seen = []
    panel.observe(
        lambda change: seen.append((panel.config.max_train_steps, panel.steps.total_steps)), "steps"
    )
    enter(panel, "max_train_steps", "60")
    assert seen == [(60, 60)]


def test_a_config_assigned_in_another_cell_is_shown_and_told_once(panel, config):
    told = []
    panel.observe(lambda change: told.append(change["new"].seed), "config")
    panel.config = config.with_changes(seed=7, max_train_steps=0, max_train_epochs=3)
    assert panel.form.values["seed"] == "7"
    assert panel.steps.total_steps == 120
    assert told == [7]


def test_assigning_repairs_an_invalid_form(panel, config):
    enter(panel, "seed", "x")
    panel.config = config
    assert panel.form.values["seed"] == "42"
    assert panel.config == config


@pytest.mark.parametrize("value", [None, {"seed": 1}, "x"])
def test_only_a_config_can_be_assigned(panel, config, value):
    with pytest.raises(traitlets.TraitError):
        panel.config = value
    assert panel.config == config


def test_a_panel_without_config_asks_for_what_is_needed(make_panel):
    panel = make_panel()
    assert panel.config is None
    assert "train_data_dir" in settings_of(panel, Severity.ERROR)
    assert "Choose a folder" in panel._card.value


def test_assigning_from_a_thread_while_the_user_types_ends_in_one_of_both(panel, config):
    def assign():
        for seed in range(20):
            panel.config = config.with_changes(seed=seed)

    thread = threading.Thread(target=assign)
    thread.start()
    for seed in range(100, 120):
        enter(panel, "seed", str(seed))
    thread.join(30)
    panel.refresh()
    assert panel.config.seed == int(panel.form.values["seed"])
    assert mistake(panel) == ""


# Exceptions


def test_an_exception_of_an_observer_in_another_cell_is_shown_and_nothing_is_lost(panel):
    def observer(change):
        raise ZeroDivisionError("my <own> mistake")

    panel.observe(observer, "config")
    enter(panel, "seed", "7")
    assert "ZeroDivisionError: my &lt;own&gt; mistake" in mistake(panel)
    assert panel.config.seed == 7
    panel.unobserve(observer, "config")
    panel.refresh()  # as after a look at the disk
    assert mistake(panel) != ""
    enter(panel, "seed", "8")
    assert mistake(panel) == ""


def test_an_exception_inside_a_refresh_is_shown_and_the_next_change_works(panel, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(panel_module, "field_views", lambda draft: 1 / 0)
        enter(panel, "seed", "7")
    assert "ZeroDivisionError" in mistake(panel)
    enter(panel, "seed", "8")
    assert mistake(panel) == ""
    assert panel.config.seed == 8


def test_an_exception_after_a_click_is_shown(panel, monkeypatch):
    monkeypatch.setattr(panel._session, "ask", lambda: 1 / 0)
    panel._start.click()
    until(lambda: mistake(panel))
    assert "ZeroDivisionError" in mistake(panel)


# The look at the disk


def test_a_change_touches_no_file_on_its_thread(panel):
    touched, here, watching = [], threading.get_ident(), [True]

    def hook(event, args):
        is_file = event in ("open", "os.listdir", "os.scandir", "import")
        if watching and is_file and threading.get_ident() == here:
            touched.append((event, args))

    sys.addaudithook(hook)  # cannot be taken away again
    for name, value in (("seed", "7"), ("unet_lr", "x"), ("unet_lr", "1e-4"), ("num_repeats", "3")):
        enter(panel, name, value)
    watching.clear()
    assert touched == []


def test_one_load_is_one_check(panel, config, monkeypatch):
    checks = []
    monkeypatch.setattr(panel_module, "check", lambda *a: checks.append(1) or check(*a))
    panel.load(dict(config.with_changes(seed=9, unet_lr=1e-5, text_encoder_lr=0, train_batch_size=2)))
    assert len(checks) == 1


def test_the_result_for_a_folder_that_was_left_is_dropped(make_panel, config):
    gate, asked = threading.Event(), []

    def slow(values):
        folder = values["train_data_dir"]
        asked.append(folder)
        if folder == "slow":
            assert gate.wait(20)
        return Seen(Facts(taken_names=frozenset({folder})))

    panel = make_panel(config)
    panel._scan._look = slow
    enter(panel, "train_data_dir", "slow")
    until(lambda: "slow" in asked)
    enter(panel, "train_data_dir", "new")
    until(lambda: panel._scan.seen.facts.taken_names == {"new"})
    gate.set()
    time.sleep(0.1)
    assert panel._scan.seen.facts.taken_names == {"new"}


def test_while_it_is_counted_again_no_old_number_is_shown(panel):
    panel._scan._look = LookAfter(lambda values: time.sleep(0.2))
    enter(panel, "num_repeats", "3")
    assert panel.steps is None
    assert "Counting" in panel._card.value
    until(lambda: panel.steps is not None)


def test_a_folder_that_vanishes_while_it_is_scanned_is_an_error_at_the_folder(
    make_panel, config, tmp_path, monkeypatch, engine
):
    folder = tmp_path / "pictures" / "1_cat"
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    panel = make_panel(config.with_changes(train_data_dir=str(folder.parent)))
    assert panel._scan.seen.facts.dataset.images == 1
    real = known_pictures.scan

    def vanishing(settings):
        shutil.rmtree(folder.parent, ignore_errors=True)
        return real(settings)

    monkeypatch.setattr(known_pictures, "scan", vanishing)
    panel._start.click()
    until(lambda: "Not started" in panel._note.value)
    assert "train_data_dir" in settings_of(panel, Severity.ERROR)
    assert engine.runs == []
    assert mistake(panel) == ""


# Findings and their fixes


def test_a_fix_changes_its_settings_and_nothing_else(panel, config):
    enter(panel, "max_train_steps", "0")
    enter(panel, "max_train_epochs", "0")
    (button,) = [b for b in panel._findings._row.children if "max_train_epochs" in b.description]
    button.click()
    assert panel.config == config.with_changes(max_train_steps=0, max_train_epochs=10)


# Files and the notebook


def test_saving_and_loading_brings_every_setting_back(panel, config, tmp_path):
    changed = config.with_changes(seed=7, unet_lr=3e-5, sample_prompts="a\nb", vae_path=None, keep_tokens=2)
    panel.config = changed
    panel.config_bar.path.value = str(tmp_path / "my.toml")
    panel.config_bar.save.click()
    until(lambda: (tmp_path / "my.toml").exists() and "Saved" in panel.config_bar._message.value)
    panel.config = config
    time.sleep(0.05)
    panel.config_bar.load.click()
    until(lambda: "Loaded" in panel.config_bar._message.value)
    assert panel.config == changed


def test_a_truncated_file_leaves_the_form_untouched(panel, config, tmp_path):
    (tmp_path / "my.toml").write_text('version = 1\nproject_name = "zo')
    panel.config_bar.path.value = str(tmp_path / "my.toml")
    panel.config_bar.load.click()
    until(lambda: "damaged or incomplete" in panel.config_bar._message.value)
    assert panel.config == config
    assert mistake(panel) == ""


def test_what_remains_of_a_run_is_kept_below_the_panel(panel, engine, monkeypatch):
    bundles = []
    handle = SimpleNamespace(update=lambda bundle, *, raw: bundles.append(bundle["text/html"]))

    def display(bundle, *, raw, display_id):
        bundles.append(bundle["text/html"])
        return handle

    monkeypatch.setattr(kept_output, "display", display)
    monkeypatch.setattr("IPython.display.display", bundles.append)
    panel._ipython_display_()
    assert bundles == [panel.box, ""]
    start_and_wait(panel, engine)
    (kept,) = bundles[2:]
    assert "<summary>zork: done, 5 steps, loss " in kept
    assert "zork.safetensors" in kept
    assert "data:image/png;base64," in kept
    assert " open" not in kept.split("<summary>")[0]


def test_nothing_from_a_user_becomes_markup_in_the_panel(panel):
    nasty = "<script>alert(1)</script>"
    for name in ("output_dir", "train_data_dir", "pretrained_model_name_or_path", "vae_path", "seed"):
        enter(panel, name, nasty)
    until(lambda: is_settled(panel))
    shown = (panel._card, panel._note, panel._findings._list, panel._mistake)
    assert not any("<script>" in widget.value for widget in shown)
    assert mistake(panel) == ""


def test_a_megabyte_in_a_field_does_no_harm(panel):
    enter(panel, "train_data_dir", "x" * 1_000_000)
    enter(panel, "output_dir", "x" * 90_000)
    until(lambda: is_settled(panel))
    assert "train_data_dir" in settings_of(panel, Severity.ERROR)
    assert len(panel._findings._list.value) < 20_000
    assert len(panel._note.value) < 5_000
    assert mistake(panel) == ""
