"""Saving in other dialects and formats, and what is checked before and after."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from lora_widgets.adapters.keys import read_lora_file
from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.errors import TrainingError
from lora_widgets.events import Saved
from lora_widgets.lora_files.lora_file import read_lora
from lora_widgets.lora_files.writing import file_of
from lora_widgets.training import saves
from lora_widgets.training.base_hashes import file_hashes
from lora_widgets.training.start import iter_training

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "lora_metadata.json").read_text())
# What tells of a repository, of a switch that this program lacks, or of folders, which have no hash.
NOT_OURS = {
    *("ss_sd_scripts_commit_hash", "ss_lowram", "ss_fp8_base", "ss_fp8_base_unet", "ss_full_fp16"),
    *("ss_huber_c", "ss_huber_scale", "ss_huber_schedule"),
    *("ss_validation_seed", "ss_validation_split", "ss_max_validation_steps"),
    *("ss_validate_every_n_epochs", "ss_validate_every_n_steps"),
    *("ss_new_sd_model_hash", "ss_sd_model_hash"),
}


def saved_weights(events):
    return [Path(event.path) for event in events if isinstance(event, Saved) and event.kind == "weights"]


def metadata_of(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()


@pytest.mark.parametrize(
    ("changes", "name", "dialect"),
    [
        ({"model_type": "SDXL", "save_dialect": "diffusers"}, "tiny.safetensors", "diffusers"),
        ({"save_dialect": "native", "save_precision": "fp16"}, "tiny.safetensors", "native"),
        ({"save_model_as": "ckpt"}, "tiny.ckpt", "kohya"),
        ({"save_model_as": "pt", "save_precision": "bf16"}, "tiny.pt", "kohya"),
        ({"save_model_as": "diffusers"}, "tiny", "diffusers"),
    ],
)
def test_a_run_saves_in_every_format_and_dialect(config_of, changes, name, dialect):
    family = {"model_type": "SD1.5", **changes}["model_type"]
    changes = {key: value for key, value in changes.items() if key != "model_type"}
    (path,) = saved_weights(iter_training(config_of(family, max_train_steps=1, **changes)))
    assert path.name == name
    tensors, metadata = read_lora_file(file_of(path))
    file = read_lora(file_of(path))
    assert (file.dialect, file.unknown) == (dialect, ())
    assert any(name.startswith("lora_unet") for name in file.modules)
    assert len({tensor.dtype for tensor in tensors.values()}) == 1
    assert bool(metadata) == (file_of(path).suffix == ".safetensors")


@pytest.mark.parametrize("dialect", ["diffusers", pytest.param("native", marks=pytest.mark.slow)])
def test_a_run_goes_on_from_a_file_in_any_dialect(make_config, tmp_path, dialect):
    """With no learning rate to speak of, the second run saves what it began with."""
    (first,) = saved_weights(iter_training(make_config(save_dialect=dialect)))
    events = iter_training(
        make_config(
            continue_from_lora=str(first),
            output_dir=str(tmp_path / "next"),
            unet_lr=1e-30,
            text_encoder_lr=1e-30,
            weight_decay=0.0,
            max_train_steps=1,
        )
    )
    (second,) = saved_weights(events)
    one, two = read_lora(first).modules, read_lora(second).modules
    assert one.keys() == two.keys()
    for name, own in one.items():
        change = own["lora_up.weight"].flatten(1) @ own["lora_down.weight"].flatten(1)
        other = two[name]["lora_up.weight"].flatten(1) @ two[name]["lora_down.weight"].flatten(1)
        assert torch.allclose(change, other, atol=1e-6)


def test_old_folders_of_diffusers_are_thinned_out_too(make_config, tmp_path):
    config = make_config(
        save_model_as="diffusers",
        save_every_n_epochs=1,
        save_last_n_epochs=1,
        max_train_steps=12,
        sample_every_n_epochs=0,
    )
    list(iter_training(config))
    folders = {
        path.name for path in (tmp_path / "out").iterdir() if path.is_dir() and "state" not in path.name
    }
    assert folders == {"tiny-000002", "tiny"}


WIDE = {"BOFT": {"network_dim": 18}}  # below, it cannot divide every layer into blocks
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("LoHa", "LoKR", "(IA)³", "GLoRA", "BOFT")]


@pytest.mark.parametrize("lora_type", ["LoCon", "DoRA", "Diag-OFT", *SLOW])
def test_files_of_every_type_do_what_was_trained(make_config, lora_type):
    config = make_config(
        lora_type=lora_type, **WIDE.get(lora_type, {}), save_precision="fp16", max_train_steps=2
    )
    assert len(saved_weights(iter_training(config))) == 1


IN_FEW_BITS = {
    "fp8": {"base_weights": "fp8"},
    "int8, DoRA": {"base_weights": "int8", "lora_type": "DoRA"},
    "nf4, LoKR": {"base_weights": "nf4", "lora_type": "LoKR"},
    "full bf16": {"mixed_precision": "bf16", "full_bf16": True, "save_precision": "bf16"},
    "schedule-free, LoHa": {"optimizer_type": "AdamWScheduleFree", "lora_type": "LoHa"},
}


@pytest.mark.parametrize("case", IN_FEW_BITS)
def test_files_do_what_was_trained_on_weights_in_few_bits_and_as_averages(make_config, case):
    config = make_config(**IN_FEW_BITS[case], max_train_steps=2)
    assert len(saved_weights(iter_training(config))) == 1


READS_THE_WEIGHT = ("DoRA", "(IA)³", "GLoRA", "Native Fine-Tuning", "BOFT")
"""A type of each way to use what is stored in few bits; the others add a product, as LoRA and LoKR above."""
IN_FEW_BITS_TOO = LORA_TYPES if os.environ.get("LORA_WIDGETS_EVERY_CELL") else READS_THE_WEIGHT


@pytest.mark.slow
@pytest.mark.parametrize("lora_type", IN_FEW_BITS_TOO)
@pytest.mark.parametrize("case", ["nf4", "full bf16"])
def test_files_of_every_type_do_what_was_trained_in_few_bits(make_config, case, lora_type):
    changes = {"base_weights": "nf4"} if case == "nf4" else IN_FEW_BITS[case]
    config = make_config(**{**changes, **WIDE.get(lora_type, {}), "lora_type": lora_type}, max_train_steps=2)
    assert len(saved_weights(iter_training(config))) == 1


TRANSFORMERS = ("Flux", "SD3")
FORMS = [("kohya", "ckpt", "bf16"), ("diffusers", "diffusers", "float"), ("native", "safetensors", "fp16")]


@pytest.mark.slow
@pytest.mark.parametrize("family", TRANSFORMERS)
@pytest.mark.parametrize(("dialect", "form", "precision"), FORMS)
def test_transformers_save_in_every_dialect_and_format(config_of, family, dialect, form, precision):
    changes = {"save_dialect": dialect, "save_model_as": form, "save_precision": precision}
    own = {"text_encoder_lr": 1e-3, "t5xxl_max_token_length": 16, "max_train_steps": 1}
    config = config_of(family, **changes, **own)
    (path,) = saved_weights(iter_training(config))
    file = read_lora(file_of(path))
    assert (file.dialect, file.unknown) == (dialect, ())
    assert {name.partition("_text")[0].partition("_enc")[0] for name in file.modules} >= {"lora_te1"}
    assert any(name.startswith("lora_unet_") for name in file.modules)


@pytest.mark.parametrize("lora_type", ["DoRA", "Diag-OFT", "BOFT"])
def test_a_change_that_is_small_beside_the_weight_is_no_error(make_config, lora_type):
    rates = {"learning_rate": 1e-7, "unet_lr": 1e-7, "text_encoder_lr": 0.0}
    config = make_config(lora_type=lora_type, **WIDE.get(lora_type, {}), **rates, max_train_steps=1)
    assert len(saved_weights(iter_training(config))) == 1


def test_a_file_that_does_something_else_is_an_error(make_config, monkeypatch):
    def without_strength(modules, dialect, *, family):
        return {
            f"{name}.{key}": tensor * (2 if key == "alpha" else 1)
            for name, own in modules.items()
            for key, tensor in own.items()
        }

    monkeypatch.setattr(saves, "in_dialect", without_strength)
    with pytest.raises(
        TrainingError, match=r"does not do what the adapter does: what it does at lora_.* 100"
    ):
        list(iter_training(make_config()))


def test_a_file_that_lacks_a_module_is_an_error(make_config, monkeypatch):
    def without_first(modules, dialect, *, family):
        return {f"{n}.{k}": t for n, own in list(modules.items())[1:] for k, t in own.items()}

    monkeypatch.setattr(saves, "in_dialect", without_first)
    with pytest.raises(TrainingError, match="is only in the adapter"):
        list(iter_training(make_config(max_train_steps=1)))


def test_numbers_that_are_none_are_not_saved_and_earlier_files_stay(make_config, tmp_path, monkeypatch):
    describe, calls = saves.describe, []

    def spoil_the_second(facts, **where):
        calls.append(where)
        return describe(facts, **where)

    grouped = saves.grouped

    def spoilt(tensors):
        found = grouped(tensors)
        if len(calls) == 2:
            next(iter(found.values()))["lora_up.weight"].fill_(float("nan"))
        return found

    monkeypatch.setattr(saves, "describe", spoil_the_second)
    monkeypatch.setattr(saves, "grouped", spoilt)
    with pytest.raises(TrainingError, match=r"no numbers any more.*earlier files are as they were"):
        list(iter_training(make_config(save_every_n_steps=1)))
    assert [path.name for path in (tmp_path / "out").glob("*.safetensors")] == [
        "tiny-step00000001.safetensors"
    ]


def test_numbers_too_large_for_the_format_are_told_apart(tmp_path):
    from lora_widgets.training.export import write_weights

    with pytest.raises(TrainingError, match=r"too large for float16.*`save_precision`"):
        write_weights(tmp_path / "x.safetensors", {"a": torch.tensor(1e6)}, {}, dtype=torch.float16)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("family", "run"), [("SD1.5", "sd15"), ("SDXL", "sdxl"), ("Flux", "flux")])
def test_metadata_has_every_key_of_the_reference(config_of, family, run):
    (path,) = saved_weights(iter_training(config_of(family, max_train_steps=1)))
    assert set(GOLDEN["keys"][run]) - metadata_of(path).keys() == NOT_OURS


def test_metadata_of_sd3_has_every_key_of_the_reference(config_of):
    """No run of SD3 was recorded: written down here is what its script adds to the keys of SDXL."""
    added = {"ss_weighting_scheme", "ss_logit_mean", "ss_logit_std", "ss_mode_scale"}
    added |= {"ss_apply_t5_attn_mask", "ss_apply_lg_attn_mask"}
    (path,) = saved_weights(iter_training(config_of("SD3", max_train_steps=1)))
    wanted = set(GOLDEN["keys"]["sdxl"]) - {"modelspec.prediction_type"} | added  # it predicts the flow
    assert wanted - metadata_of(path).keys() == NOT_OURS


def test_metadata_names_the_model_file_by_its_hashes(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(range(256)) * 8192)
    recorded = GOLDEN["file_hash"]
    assert file_hashes(path) == (recorded["model_hash"], recorded["calculate_sha256"])


def test_what_was_written_about_the_file_is_in_it(make_config):
    about = {
        "metadata_title": "Blixo",
        "metadata_author": "A",
        "metadata_description": "D",
        "metadata_license": "L",
        "metadata_tags": "a,b",
        "metadata_trigger_phrase": "blixo",
        "training_comment": "second try",
    }
    (path,) = saved_weights(iter_training(make_config(max_train_steps=1, **about)))
    metadata = metadata_of(path)
    assert {key: metadata[f"modelspec.{key}"] for key in ("title", "author", "tags", "trigger_phrase")} == {
        "title": "Blixo",
        "author": "A",
        "tags": "a,b",
        "trigger_phrase": "blixo",
    }
    assert metadata["modelspec.sai_model_spec"] == "1.0.1"
    assert metadata["modelspec.implementation"] == "diffusers"
    assert metadata["ss_training_comment"] == "second try"


def test_private_metadata_tells_neither_of_pictures_nor_of_this_computer(make_config, tmp_path):
    config = make_config(private_metadata=True, max_train_steps=1, training_comment="mine")
    (path,) = saved_weights(iter_training(config))
    metadata = metadata_of(path)
    text = json.dumps(metadata)
    for private in (str(tmp_path), "2_thing", "mine", "number 3", "tiny_sd15"):
        assert private not in text
    assert metadata["ss_network_dim"] == "4"
    assert metadata["ss_steps"] == "1"


def test_other_types_say_what_makes_them(make_config):
    (path,) = saved_weights(iter_training(make_config(lora_type="LoKR", factor=4, max_train_steps=1)))
    metadata = metadata_of(path)
    assert metadata["ss_network_module"] == "lycoris.kohya"
    arguments = json.loads(metadata["ss_network_args"])
    assert (arguments["algo"], arguments["factor"]) == ("lokr", "4")
