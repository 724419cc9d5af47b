"""What nobody needs is not loaded: a second run finds everything in the cache without the models."""

import os
import shutil
import time
from collections import Counter
from contextlib import closing

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lora_widgets.config.phases import LOADING
from lora_widgets.events import MemoryPeak, Notice, PhaseProgress, SampleReady, StepDone
from lora_widgets.families.autoencoder import Autoencoder
from lora_widgets.families.text_encoder import TextEncoder
from lora_widgets.training.control import Control
from lora_widgets.training.known_parts import KnownParts
from lora_widgets.training.start import iter_training

TWO_PARTS_LOADED = PhaseProgress(LOADING, 2, 3)
LONG_AGO = time.time() - 1000
FOUND = {
    "All latents found in the cache, so the VAE is not loaded.",
    "All captions found in the cache, so no text encoder is loaded.",
}
slow = pytest.mark.slow
EVERY_FAMILY = ["SD1.5", *(pytest.param(name, marks=slow) for name in ("SDXL", "SD3", "Flux"))]


@pytest.fixture
def loads(monkeypatch):
    """Count how often a class of parts is loaded."""
    counted = Counter()

    def counting(kind):
        load = kind.load

        def noted(self, device, dtype):
            counted[kind.__name__] += 1
            load(self, device, dtype)

        monkeypatch.setattr(kind, "load", noted)

    counting(Autoencoder)
    counting(TextEncoder)
    return counted


@pytest.fixture
def run(config_of, tiny_dataset, tmp_path, loads):
    """Do a run with everything cached on disk; return its events and what was loaded.

    ``only_encode`` ends it where the denoiser would be loaded.
    """
    names = iter(range(100))
    for picture in tiny_dataset.rglob("*.png"):
        os.utime(picture, (LONG_AGO, LONG_AGO))

    def work(family="SD1.5", *, stop_after=None, only_encode=False, **changes):
        loads.clear()
        values = {
            "output_name": f"run-{next(names)}",
            "cache_dir": str(tmp_path / "cache"),
            "cache_latents_to_disk": True,
            "cache_text_encoder_outputs_to_disk": True,
            "text_encoder_lr": 0.0,
            "max_train_steps": 2,
            "t5xxl_max_token_length": 64,
        }
        control, events = Control(), []
        with closing(iter_training(config_of(family, **(values | changes)), control)) as training:
            for event in training:
                events.append(event)
                if isinstance(event, StepDone) and event.step == stop_after:
                    control.stop()
                if only_encode and events.count(TWO_PARTS_LOADED) == 2:  # when the second is, and again
                    break
        return events, dict(loads)

    return work


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def losses(events):
    return [event.loss for event in of_kind(events, StepDone)]


def pixels(events):
    return [Image.open(event.path).tobytes() for event in of_kind(events, SampleReady)]


def notices(events):
    return {event.message for event in of_kind(events, Notice)}


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_a_second_run_loads_no_encoder_and_learns_and_draws_the_same(run, family):
    samples = {
        "sample_at_first": False,
        "sample_every_n_steps": 2,
        "sample_prompts": "a thing --s 2 --n blurry --l 3",
    }
    (first, loaded), (second, loaded_again) = run(family, **samples), run(family, **samples)
    assert loaded_again == {"Autoencoder": 1}  # for the sample
    assert loaded["Autoencoder"] == 2
    assert loaded["TextEncoder"] == {"SD1.5": 1, "SDXL": 2, "SD3": 3, "Flux": 2}[family]
    assert notices(second) >= FOUND
    assert not FOUND & notices(first)
    assert not {"Encoding captions", "Encoding pictures"} & {e.phase for e in of_kind(second, MemoryPeak)}
    assert losses(first) == losses(second)
    drawn, again = pixels(first), pixels(second)
    assert len(drawn) == 1
    assert drawn == again


def test_a_resumed_run_that_loads_no_encoder_is_exact(run, tmp_path):
    """Stopped and resumed, it gives the weights of a run that kept everything in memory."""
    in_memory = {
        "cache_latents_to_disk": False,
        "cache_text_encoder_outputs_to_disk": False,
        "cache_text_encoder_outputs": True,
    }
    run(output_name="whole", max_train_steps=3, **in_memory)
    own = {"output_name": "parts", "max_train_steps": 3}
    run(stop_after=1, **own)
    _, loaded = run(resume="latest", **own)
    assert loaded == {}
    ours, theirs = (load_file(tmp_path / "out" / f"{name}.safetensors") for name in ("parts", "whole"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("family", [pytest.param("SD3", marks=slow), "Flux"])
def test_t5_is_kept_and_leaves_while_clip_trains(run, opened, family, tmp_path):
    """The run is the one with T5 in memory, and the next one does not load it; resumed, it is exact."""
    trains = {
        "text_encoder_lr": 1e-3,
        "sample_at_first": False,
        "sample_every_n_steps": 2,
        "sample_prompts": "a thing --s 1 --n blurry --l 3",
        "text_encoder_batch_size": 4,
        "train_batch_size": 4,
    }
    live = {"cache_text_encoder_outputs_to_disk": False}
    clips = {"SD3": 2, "Flux": 1}[family]
    first, loaded = run(family, output_name="first", **trains)
    assert loaded["TextEncoder"] == clips + 1
    assert opened[-1].t5.encoder.model is None
    assert opened[-1].clip_l.model is not None
    second, loaded = run(family, output_name="second", stop_after=1, **trains)
    resumed, loaded_again = run(family, output_name="second", resume="latest", **trains)
    assert loaded["TextEncoder"] == loaded_again["TextEncoder"] == clips
    assert "All captions found in the cache, so no T5 is loaded." in notices(second)
    assert losses(first) == losses(second) + losses(resumed)
    assert pixels(first) == pixels(resumed)
    in_memory, loaded = run(family, output_name="live", **trains, **live)
    assert loaded["TextEncoder"] == clips + 1
    assert losses(in_memory) == pytest.approx(losses(first), rel=1e-4)
    ours, theirs = (load_file(tmp_path / "out" / f"{name}.safetensors") for name in ("second", "first"))
    assert any(name.startswith("lora_te1") and tensor.any() for name, tensor in ours.items())
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("changes", "loaded"),
    [
        ({"clip_skip": 2}, {"TextEncoder": 1}),
        ({"caption_prefix": "a"}, {"TextEncoder": 1}),
        ({"max_token_length": 150}, {"TextEncoder": 1}),
        ({"vae_tiling": True}, {"Autoencoder": 1}),
        ({"flip_aug": True}, {"Autoencoder": 1}),
        ({"mixed_precision": "bf16", "no_half_vae": True}, {"TextEncoder": 1}),
        ({"cache_latents_to_disk": False, "cache_latents": False}, {"Autoencoder": 1}),
    ],
    ids=str,
)
def test_only_what_is_needed_again_is_loaded(run, changes, loaded):
    run(only_encode=True)
    assert run(only_encode=True, **changes)[1] == loaded
    assert run(only_encode=True)[1] == {}  # what was known before still is


@pytest.fixture
def model(tiny_sd15, tmp_path):
    """Return a copy of the tiny model that a test may change."""
    return shutil.copytree(tiny_sd15, tmp_path / "model")


@pytest.mark.parametrize(("part", "loaded"), [("vae", "Autoencoder"), ("text_encoder", "TextEncoder")])
def test_other_weights_of_the_same_size_at_the_same_place_are_loaded_and_encode(run, model, part, loaded):
    base = {"pretrained_model_name_or_path": str(model), "max_train_steps": 1}
    first, _ = run(**base)
    (file,) = (model / part).glob("*.safetensors")
    facts = file.stat()
    weights = {name: -tensor for name, tensor in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    assert file.stat().st_size == facts.st_size
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    second, counted = run(**base)
    assert counted == {loaded: 1}
    assert losses(first) != losses(second)


def test_what_is_remembered_wrongly_does_not_mislead(run, tmp_path):
    """A fingerprint that leads nowhere is taken anew from the weights, and corrected."""
    run(only_encode=True)
    remembered = sorted((tmp_path / "cache" / "parts").iterdir())
    assert len(remembered) == 2
    right = [file.read_text() for file in remembered]
    remembered[0].write_text("0" * 32)
    remembered[1].write_text("../../" + right[1])
    assert run(only_encode=True)[1] == {"Autoencoder": 1, "TextEncoder": 1}
    assert [file.read_text() for file in remembered] == right
    assert run(only_encode=True)[1] == {}


def test_a_file_that_is_replaced_while_it_is_read_is_not_remembered(run, model, monkeypatch, tmp_path):
    load = Autoencoder.load

    def replaced(self, device, dtype):
        load(self, device, dtype)
        (file,) = (model / "vae").glob("*.safetensors")
        os.utime(file, (LONG_AGO, LONG_AGO))

    monkeypatch.setattr(Autoencoder, "load", replaced)
    run(pretrained_model_name_or_path=str(model), only_encode=True)
    assert len(list((tmp_path / "cache" / "parts").iterdir())) == 1


def test_a_folder_that_cannot_be_written_costs_the_memory_only(tmp_path, caplog):
    (tmp_path / "file").touch()
    known = KnownParts(tmp_path / "file" / "parts")
    known.remember("0" * 32, "1" * 32)
    assert known.fingerprint_of("0" * 32) is None
    assert "no part is remembered" in caplog.text
