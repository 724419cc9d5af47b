"""What is encoded once is encoded once: across runs, edits, damage, overflow and full disks."""

import errno
import os
import time
from contextlib import closing
from types import SimpleNamespace

import pytest
import torch

from lora_widgets.cli import main
from lora_widgets.config.phases import CAPTIONS, LOADING, PICTURES
from lora_widgets.data import tensor_store
from lora_widgets.data.last_use import DAY_S
from lora_widgets.errors import CacheError
from lora_widgets.events import Finished, Notice, PhaseProgress, StepDone
from lora_widgets.families.autoencoder import Autoencoder
from lora_widgets.families.family import open_family
from lora_widgets.families.sd15 import SD15
from lora_widgets.training.caching import KNOWN_PICTURES, PictureEncoder
from lora_widgets.training.control import Control
from lora_widgets.training.precision import precision_of
from lora_widgets.training.quiet import hush_libraries
from lora_widgets.training.start import iter_training

pytestmark = pytest.mark.any_libraries
TWO_PARTS_LOADED = PhaseProgress(LOADING, 2, 3)
LONG_AGO = time.time() - 1000


@pytest.fixture
def encoded(monkeypatch):
    """What the models are given to encode: numbers of pictures, and captions."""
    seen = SimpleNamespace(pictures=[], captions=[])
    encode, encode_text = Autoencoder.encode, SD15.encode_text

    def counted_images(self, pixels, *, generator):
        seen.pictures.append(len(pixels))
        return encode(self, pixels, generator=generator)

    def counted_text(self, captions, **how):
        seen.captions.append(tuple(captions))
        return encode_text(self, captions, **how)

    monkeypatch.setattr(Autoencoder, "encode", counted_images)
    monkeypatch.setattr(SD15, "encode_text", counted_text)
    # Collecting garbage among all that tests have imported is most of a run this small.
    monkeypatch.setattr("lora_widgets.families.in_memory.gc.collect", lambda: 0)
    return seen


@pytest.fixture
def run(make_config, tiny_dataset, tmp_path, encoded):
    """Begin a run with everything cached on disk, with changes; return the events up to the first step.

    ``only_encode`` ends it where the denoiser would be loaded.
    """
    for picture in tiny_dataset.rglob("*.png"):
        os.utime(picture, (LONG_AGO, LONG_AGO))
    names = iter(range(100))

    def work(*, control=None, only_encode=True, **changes):
        encoded.pictures.clear()
        encoded.captions.clear()
        values = {
            "output_name": f"run-{next(names)}",
            "cache_dir": str(tmp_path / "cache"),
            "cache_latents_to_disk": True,
            "cache_text_encoder_outputs_to_disk": True,
            "text_encoder_lr": 0.0,
            "vae_batch_size": 2,
            "text_encoder_batch_size": 3,
            "max_train_steps": 1,
        }
        with closing(iter_training(make_config(**(values | changes)), control)) as training:
            events = []
            for event in training:
                events.append(event)
                if only_encode and events.count(TWO_PARTS_LOADED) == 2:  # when the second is, and again
                    break
            return events

    return work


def losses(events):
    return [event.loss for event in events if isinstance(event, StepDone)]


def last_of(events, phase):
    return [(e.done, e.total) for e in events if isinstance(e, PhaseProgress) and e.phase == phase][-1:]


def test_a_second_run_encodes_nothing_and_learns_the_same(run, encoded, tmp_path):
    first = run(only_encode=False)
    assert encoded.pictures == [2] * 4
    assert [len(captions) for captions in encoded.captions] == [3, 3, 2]
    assert (last_of(first, PICTURES), last_of(first, CAPTIONS)) == ([(8, 8)], [(8, 8)])
    second = run(only_encode=False)
    assert encoded.pictures == encoded.captions == []
    assert last_of(second, KNOWN_PICTURES) == [(8, 8)]
    in_memory = run(
        only_encode=False,
        cache_latents_to_disk=False,
        cache_text_encoder_outputs_to_disk=False,
        cache_text_encoder_outputs=True,
    )
    assert encoded.pictures == [2] * 4
    assert last_of(in_memory, KNOWN_PICTURES) == []
    assert losses(first) == losses(second) == losses(in_memory)
    assert len(losses(first)) == 1


def test_only_what_was_edited_is_encoded_again(run, encoded, tiny_dataset):
    run()
    (tiny_dataset / "2_thing" / "thing_3.txt").write_text("something else", encoding="utf-8")
    run(seed=7)
    assert encoded.pictures == []
    assert encoded.captions == [("something else",)]


@pytest.mark.parametrize(
    ("changes", "pictures", "captions"),
    [
        ({"clip_skip": 2}, 0, 8),
        ({"no_half_vae": True}, 0, 0),
        ({"mixed_precision": "bf16"}, 8, 8),
        ({"mixed_precision": "bf16", "no_half_vae": True}, 0, 8),
        ({"caption_prefix": "a"}, 0, 8),
        ({"flip_aug": True}, 8, 0),
        ({"caption_dropout_rate": 0.5}, 0, 1),
        ({"network_dim": 2, "train_batch_size": 1}, 0, 0),
    ],
    ids=str,
)
def test_what_decides_the_encoding_decides_what_is_encoded_again(run, encoded, changes, pictures, captions):
    run()
    run(**changes)
    assert (sum(encoded.pictures), sum(map(len, encoded.captions))) == (pictures, captions)


def test_variants_of_captions_are_encoded_once(run, encoded):
    changes = {"shuffle_caption": True, "text_cache_variants": 3}
    first = run(only_encode=False, **changes)
    assert 8 < sum(map(len, encoded.captions)) <= 24
    assert len(losses(first)) == 1
    run(**changes)
    assert encoded.captions == []


def test_random_crops_go_with_cached_latents(run, encoded):
    changes = {"random_crop": True, "latent_cache_crops": 3, "resolution": 64, "enable_bucket": False}
    run(**changes)
    assert 8 < sum(encoded.pictures) <= 24
    run(**changes)
    assert encoded.pictures == []


def test_damage_is_reported_and_mended(run, encoded, tmp_path):
    run()
    for shard in (tmp_path / "cache").rglob("*.tensors"):
        content = bytearray(shard.read_bytes())
        content[-1] ^= 1
        shard.write_bytes(content)
    notices = {event.message for event in run() if isinstance(event, Notice)}
    assert {
        "1 cached pictures are damaged on disk, so they are encoded again.",
        "1 cached captions are damaged on disk, so they are encoded again.",
    } <= notices
    assert (sum(encoded.pictures), sum(map(len, encoded.captions))) == (1, 1)
    run()
    assert encoded.pictures == encoded.captions == []


def test_what_was_deleted_is_encoded_again_and_what_a_run_read_is_not_deleted(run, encoded, tmp_path):
    def age():
        for path in (tmp_path / "cache").rglob("*.*"):
            os.utime(path, (LONG_AGO - 50 * DAY_S,) * 2)

    def delete_unused():
        return main(["cache", str(tmp_path / "cache"), "--delete-unused", "30d"])

    run()
    age()
    run()
    delete_unused()
    run()
    assert encoded.pictures == encoded.captions == []
    age()
    delete_unused()
    notices = {event.message for event in run() if isinstance(event, Notice)}
    assert (sum(encoded.pictures), sum(map(len, encoded.captions))) == (8, 8)
    assert not any("damaged" in message for message in notices)


def test_what_was_encoded_before_a_stop_stays(run, encoded, monkeypatch):
    control, encode = Control(), Autoencoder.encode

    def stop_after_the_second(self, pixels, *, generator):
        if len(encoded.pictures) == 1:
            control.stop()
        return encode(self, pixels, generator=generator)

    with monkeypatch.context() as patch:
        patch.setattr(Autoencoder, "encode", stop_after_the_second)
        events = run(control=control)
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "stopped"
    run()
    assert sum(encoded.pictures) == 4


def test_a_full_disk_ends_the_run_before_anything_is_trained(run, monkeypatch, tmp_path):
    def refuse(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tensor_store, "open_new", refuse)
    with pytest.raises(CacheError, match=f"{tmp_path / 'cache'}.* is full"):
        run()


class Overflowing:
    """A VAE that cannot compute in half precision, and perhaps not at all."""

    def __init__(self, *, hopeless=False):
        self.is_half, self.hopeless, self.calls = True, hopeless, 0

    def use_float32(self):
        was_half, self.is_half = self.is_half, False
        return was_half

    def encode(self, pixels, *, generator):
        self.calls += 1
        latents = pixels[:, :, ::8, ::8].clone()
        return latents * float("nan") if self.is_half or self.hopeless else latents


def test_latents_that_overflow_are_made_again_in_full_precision():
    family, pixels = Overflowing(), torch.rand(2, 3, 64, 64)
    encoder = PictureEncoder(family, precision_of("no"))
    assert encoder(pixels).isfinite().all()
    assert (encoder.fell_back, family.calls) == (True, 2)
    encoder(pixels)
    assert family.calls == 3
    hopeless = PictureEncoder(Overflowing(hopeless=True), precision_of("no"))
    assert not hopeless(pixels).isfinite().any()


def test_the_vae_goes_over_to_full_precision_without_the_librarys_words(make_config, capfd):
    hush_libraries()
    vae = open_family(make_config()).vae
    vae.load("cpu", torch.float16)
    assert vae.use_float32()
    assert capfd.readouterr() == ("", "")


def test_an_overflow_is_reported_once(run, encoded, monkeypatch):
    encode = Autoencoder.encode

    def overflowing(self, pixels, *, generator):
        latents = encode(self, pixels, generator=generator)
        return latents if self.model.dtype == torch.float32 else latents * float("inf")

    monkeypatch.setattr(Autoencoder, "encode", overflowing)
    events = run(mixed_precision="bf16")
    (notice,) = [e.message for e in events if isinstance(e, Notice) and "overflows" in e.message]
    assert "`no_half_vae`" in notice
    assert sum(encoded.pictures) == 10  # the first two twice
    run(mixed_precision="bf16")
    assert encoded.pictures == []


def test_the_noise_of_a_picture_does_not_depend_on_its_company(tiny_sd15):
    class Noise:
        def encode(self, pixels, *, generator):
            return torch.stack([torch.randn(4, 8, 8, generator=one) for one in generator])

    encode = PictureEncoder(Noise(), precision_of("no"))
    pixels = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    together = encode(pixels)
    assert torch.equal(together[1:2], encode(pixels[1:2]))
    assert not torch.equal(together[0], together[1])
