"""Tests of lora_widgets/widgets/look_around.py."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save_file

from lora_widgets.config import missing
from lora_widgets.config.facts import MeasuredRun
from lora_widgets.config.findings import Facts, Severity, check
from lora_widgets.config.missing import missing_packages, missing_paths
from lora_widgets.data.facts import facts_for
from lora_widgets.data.measured_runs import keep_measured_run
from lora_widgets.demo.config import demo_config
from lora_widgets.training.folder import RunFolder
from lora_widgets.widgets import known_pictures
from lora_widgets.widgets.known_pictures import SCAN_SETTINGS
from lora_widgets.widgets.look_around import (
    LOOKED_AT,
    PLACE_SETTINGS,
    LookAround,
    Seen,
    taken_names,
)


def look(values):
    return LookAround()(values)


@pytest.fixture
def values(tmp_path):
    return dict(demo_config(output_dir=str(tmp_path / "out")))


@pytest.fixture
def pictures(tmp_path):
    for number in range(3):
        path = tmp_path / "pictures" / "2_cat" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64)).save(path)
        path.with_suffix(".txt").write_text("cat", encoding="utf-8")
    return tmp_path / "pictures"


def test_the_pictures_are_counted_as_training_counts_them(values, pictures):
    seen = look({**values, "train_data_dir": str(pictures)})
    expected = facts_for(demo_config(train_data_dir=str(pictures), output_dir="x")).facts
    assert seen.facts.dataset == expected
    assert seen.repeats == (2,)


def test_a_file_of_prompts_is_looked_into_until_it_is_another(values, tmp_path):
    file = tmp_path / "prompts.toml"
    file.write_text('[prompt]\n[[prompt.subset]]\nprompt = "a cat"\nwidht = 5', encoding="utf-8")
    seen = look(values | {"sample_prompts": str(file)})
    (error,) = check(values | {"sample_prompts": str(file)}, seen.facts).errors
    assert "`widht` is no key of a prompt. Did you mean `width`?" in error.message
    assert seen.still_true(["sample_prompts"]).facts.prompt_file is None
    assert look(values).facts.prompt_file is None


def test_what_earlier_runs_took_is_read_from_the_cache_folder(values, tmp_path):
    run = MeasuredRun({"model_type": "SD1.5"}, 1e-6, ())
    keep_measured_run(tmp_path, run)
    seen = look(values | {"cache_dir": str(tmp_path)})
    assert seen.facts.measured == (run,)
    assert seen.still_true(["cache_dir"]).facts.measured == ()
    assert look(values).facts.measured == ()


def test_pictures_are_counted_before_the_base_model_is_chosen(values, pictures):
    values |= {"train_data_dir": str(pictures), "pretrained_model_name_or_path": ""}
    assert look(values).facts.dataset.images == 3


def test_captions_longer_than_the_encoder_reads_are_seen(values, pictures):
    (pictures / "2_cat" / "0.txt").write_text("circle, " * 60, encoding="utf-8")
    (long,) = look({**values, "train_data_dir": str(pictures)}).facts.dataset.long_captions
    assert (long.picture, long.tokens) == ("0.png", 120)


@pytest.fixture
def weights(tmp_path):
    """Write a file that holds a single tensor of some name."""

    def write(name, tensor):
        path = tmp_path / name
        save_file({tensor: np.zeros((4, 768), np.float32)}, path)
        return str(path)

    return write


def test_weight_files_are_recognised_by_what_they_hold(values, weights):
    lora = weights("model.safetensors", "lora_te_mlp.lora_down.weight")
    values |= {"pretrained_model_name_or_path": lora, "vae_path": weights("v.safetensors", "emb_params")}
    seen = look(values)
    assert seen.facts.files == {"pretrained_model_name_or_path": "LoRA", "vae_path": "embedding"}
    errors = [finding.message for finding in check(values, seen.facts).errors]
    assert any("which is a LoRA or another adapter, not a base model" in message for message in errors)
    assert seen.still_true(["vae_path"]).facts.files == {"pretrained_model_name_or_path": "LoRA"}


def test_a_weight_file_that_was_replaced_is_looked_into_again(values, weights):
    values["continue_from_lora"] = weights("l.safetensors", "emb_params")
    assert look(values).facts.files == {"continue_from_lora": "embedding"}
    os.utime(weights("l.safetensors", "a.lora_up.weight"), ns=(1, 1))
    assert look(values).facts.files == {"continue_from_lora": "LoRA"}


def test_a_gguf_file_is_a_finding(values, tmp_path):
    (tmp_path / "flux.gguf").write_bytes(b"GGUF")
    (finding,) = look({**values, "pretrained_model_name_or_path": str(tmp_path / "flux.gguf")}).findings
    assert finding.severity is Severity.ERROR
    assert "quantised for GGUF" in finding.message


def test_a_damaged_weight_file_is_a_finding(values, weights):
    values["vae_path"] = weights("v.safetensors", "emb_params")
    Path(values["vae_path"]).write_bytes(b"\x08\0\0\0\0\0\0\0{")
    (finding,) = look(values).findings
    assert (finding.severity, finding.settings) == (Severity.ERROR, ("vae_path",))
    assert "incomplete or damaged" in finding.message


@pytest.mark.parametrize(
    "value", ["x" * 5000 + ".safetensors", "\0.safetensors", "~nobody/x.safetensors", 7, None]
)
def test_what_is_no_weight_file_is_not_looked_into(values, value):
    assert look({**values, "vae_path": value}).facts.files == {}


def test_values_as_text_are_read_as_the_form_gives_them(values):
    texts = {name: "" if value is None else str(value) for name, value in values.items()}
    assert look(texts).facts.dataset == look(values).facts.dataset is not None


def test_every_setting_that_counting_reads_is_watched():
    class Recorder:
        def __init__(self):
            self.read = set()

        def __getattr__(self, name):
            self.read.add(name)
            return getattr(demo_config(output_dir="x"), name)

    recorder = Recorder()
    facts_for(recorder)
    own_names = {
        "resolution_size": "resolution",
        "bucket_step": "bucket_reso_steps",
        "merges_buckets": "partial_batches",
        "fills_batches": "partial_batches",
    }
    assert {own_names.get(name, name) for name in recorder.read} <= {*SCAN_SETTINGS, *PLACE_SETTINGS}


def test_looking_changes_nothing_on_the_disk(values, pictures, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    look({**values, "train_data_dir": str(pictures)})
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_not_there_is_a_missing_path(values, tmp_path):
    seen = look({**values, "train_data_dir": str(tmp_path / "nowhere")})
    assert seen.facts.missing_paths == ("train_data_dir",)
    assert seen.findings == ()


def test_a_folder_without_pictures_is_an_error_at_the_folder(values, tmp_path):
    (tmp_path / "empty").mkdir()
    (finding,) = look({**values, "train_data_dir": str(tmp_path / "empty")}).findings
    assert finding.severity is Severity.ERROR
    assert finding.settings == ("train_data_dir",)


def test_a_folder_that_vanishes_while_it_is_read_is_an_error_at_the_folder(values, pictures, monkeypatch):
    real = known_pictures.scan

    def vanishing(settings):
        shutil.rmtree(pictures)
        return real(settings)

    monkeypatch.setattr(known_pictures, "scan", vanishing)
    (finding,) = look({**values, "train_data_dir": str(pictures)}).findings
    assert finding.severity is Severity.ERROR
    assert finding.settings == ("train_data_dir",)


def test_a_file_that_vanishes_while_it_is_read_is_no_exception(values, pictures, monkeypatch):
    def vanishing(settings):
        raise FileNotFoundError(2, "No such file or directory", "1.png")

    monkeypatch.setattr(known_pictures, "scan", vanishing)
    (finding,) = look({**values, "train_data_dir": str(pictures)}).findings
    assert "cannot be read: No such file or directory" in finding.message


def test_notes_about_the_folder_are_findings(values, pictures):
    Image.new("RGB", (64, 64)).save(pictures / "aside.png")
    (note,) = look({**values, "train_data_dir": str(pictures)}).findings
    assert note.severity is Severity.NOTE
    assert "aside.png" in note.message


def test_while_a_setting_of_the_pictures_is_invalid_nothing_is_counted(values):
    assert look({**values, "resolution": "huge"}).facts.dataset is None
    assert look({**values, "unet_lr": "fast"}).facts.dataset is not None


@pytest.mark.parametrize("text", ["x" * 1_000_000, "a\0b", "~nobody-here/x", "<script>"])
def test_impossible_paths_are_missing_paths(values, text):
    seen = look({**values, "train_data_dir": text, "output_dir": text})
    assert "train_data_dir" in seen.facts.missing_paths


def test_folders_that_a_file_replaces_are_not_missed(values, tmp_path):
    (tmp_path / "d.toml").write_text("")
    other = {"train_data_dir": "/nowhere", "reg_data_dir": "/nowhere"}
    assert missing_paths({**values, **other}) == ("train_data_dir", "reg_data_dir")
    assert missing_paths({**values, **other, "dataset_config": str(tmp_path / "d.toml")}) == ()


def test_a_path_in_quotes_is_looked_for_without_them(values, tmp_path):
    (tmp_path / "a b").mkdir()
    seen = look({**values, "train_data_dir": f' "{tmp_path / "a b"}" '})
    assert seen.facts.missing_paths == ()


@pytest.mark.parametrize(
    ("model", "missing"),
    [
        ("demo", False),
        ("owner/model-1.5", False),
        ("models/sd15.safetensors", True),
        ("./models/mine", True),
        ("mine", True),
        ("/a/b", True),
    ],
)
def test_a_base_model_may_be_on_the_hub(values, model, missing):
    found = missing_paths({**values, "pretrained_model_name_or_path": model})
    assert ("pretrained_model_name_or_path" in found) is missing


def test_settings_that_do_not_act_and_folders_that_are_made_may_be_missing(values):
    nowhere = dict.fromkeys(("clip_l_path", "logging_dir", "output_dir"), "/nowhere")
    assert missing_paths({**values, **nowhere}) == ()
    assert missing_paths({**values, "vae_path": "/nowhere"}) == ("vae_path",)


@given(
    st.lists(st.sampled_from(["cat", "cat-2", "a.b", "cat-000004"]), max_size=4),
    st.sampled_from(["final", "at_epoch", "at_step", "state", "journal"]),
)
def test_names_are_taken_exactly_where_a_run_would_refuse_them(tmp_path_factory, stems, kind):
    path = tmp_path_factory.mktemp("out")
    for stem in stems:
        folder = RunFolder(path, stem)
        file = {
            "final": folder.final(),
            "at_epoch": folder.at_epoch(4),
            "at_step": folder.at_step(200),
            "state": folder.state_beside(folder.at_epoch(4)),
            "journal": folder.journal,
        }[kind]
        file.mkdir(exist_ok=True)
    taken = taken_names(str(path))
    for stem in ("cat", "cat-2", "a.b", "cat-000004", "cat-step00000200", "dog", "a"):
        assert (stem in taken) is bool(RunFolder(path, stem).leftovers()), stem


def test_a_taken_name_becomes_the_finding_with_a_free_one(values, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "zibbo.safetensors").touch()
    draft = check(values, look(values).facts)
    assert {"output_name": "zibbo-2"} in [f.fix.changes for f in draft.errors if f.fix]


def test_an_output_folder_that_is_a_file_takes_no_names(tmp_path):
    (tmp_path / "file").touch()
    assert taken_names(str(tmp_path / "file")) == taken_names("") == frozenset()


def test_packages_are_found_without_importing_them(monkeypatch):
    asked = []
    monkeypatch.setattr(missing, "find_spec", asked.append)
    absent = missing_packages()
    assert "prodigyopt" in absent
    assert "torch" not in absent
    assert "lion_pytorch" in asked  # the name to import, where it is not that of the package


def test_what_is_no_longer_true_is_forgotten():
    facts = Facts(missing_paths=("vae_path", "train_data_dir"), taken_names=frozenset({"cat"}))
    seen = Seen(facts, repeats=(2,))
    assert seen.still_true(["vae_path"]).facts.missing_paths == ("train_data_dir",)
    assert seen.still_true(["output_dir"]).facts.taken_names == frozenset()
    assert seen.still_true(["num_repeats"]) == seen
    after = seen.still_true(["train_data_dir"])
    assert (after.facts.dataset, after.findings, after.repeats) == (None, (), ())
    assert after.facts.taken_names == {"cat"}


def test_what_is_looked_at_are_settings():
    assert set(LOOKED_AT) <= set(demo_config(output_dir="x").__class__.model_fields)
