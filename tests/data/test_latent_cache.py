import os
import threading
import time

import pytest
import torch

from lora_widgets.data.buckets import plan_buckets
from lora_widgets.data.dataset import Dataset, LatentKey
from lora_widgets.data.latent_cache import LatentCache
from lora_widgets.data.scan import scan
from lora_widgets.errors import CacheError, DatasetError, TrainingError

LONG_AGO = time.time() - 1000


@pytest.fixture
def make_dataset(tmp_path, make_picture, make_settings):
    folder = tmp_path / "pictures"
    for number in range(5):
        path = make_picture(folder / f"{number}.png", (64, 64) if number < 3 else (96, 48))
        os.utime(path, (LONG_AGO, LONG_AGO))

    def make(*, side=64, seed=0, **changes) -> Dataset:
        settings = make_settings(train_data_dir=str(folder), num_repeats=4, **changes)
        images = scan(settings).images
        plan = plan_buckets(settings, images, resolution=(side, side), step=16)
        return Dataset(images, plan, [settings], seed=seed)

    return make


class Encoder:
    """Stands in for a VAE; counts the pictures it was given."""

    def __init__(self):
        self.pictures = 0
        self.shapes = []

    def __call__(self, pixels):
        self.pictures += len(pixels)
        self.shapes.append(tuple(pixels.shape))
        # depends on the direction, as a real encoder does
        return (pixels * torch.linspace(0, 1, pixels.shape[-1]))[:, :, ::4, ::4].to(torch.float16)


def finished(work):
    """What a generator returns in the end."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def fill(cache, encode, *, batch_size=2):
    missing = finished(cache.look_up())
    return missing, list(cache.fill(missing.keys, encode, batch_size=batch_size))


def on_disk(dataset, tmp_path, *, encoder="vae"):
    return LatentCache.on_disk(dataset, tmp_path / "cache", encoder=encoder)


def latents_of(cache, dataset):
    return {key: cache[key] for image in range(len(dataset.images)) for key in dataset.latent_keys(image)}


def shards(tmp_path):
    return sorted((tmp_path / "cache").rglob("*.tensors"))


def test_each_picture_is_encoded_once_in_batches_of_one_size(make_dataset):
    dataset, encode = make_dataset(), Encoder()
    cache = LatentCache.in_memory(dataset)
    missing, progress = fill(cache, encode)
    assert missing.damaged == 0
    assert progress == [(0, 5), (2, 5), (3, 5), (5, 5)]
    assert [shape[0] for shape in encode.shapes] == [2, 1, 2]
    assert cache[LatentKey(0, 0, flipped=False)].shape == (3, 16, 16)
    assert all(latent.dtype == torch.float32 for latent in latents_of(cache, dataset).values())


def test_mirrored_pictures_are_encoded_for_themselves(make_dataset):
    dataset, encode = make_dataset(flip_aug=True), Encoder()
    cache = LatentCache.in_memory(dataset)
    assert fill(cache, encode, batch_size=8)[1][-1] == (10, 10)
    for index in range(5):
        expected = encode(dataset.pixels_of(index, crop=dataset.placement_of(index).crop, flip=True)[None])[0]
        mirrored = cache[LatentKey(index, 0, flipped=True)]
        assert torch.equal(mirrored, expected.float())
        assert not torch.allclose(mirrored, cache[LatentKey(index, 0, flipped=False)].flip(-1))


def test_disk_and_memory_hold_the_same(make_dataset, tmp_path):
    dataset = make_dataset(flip_aug=True)
    memory, disk = LatentCache.in_memory(dataset), on_disk(dataset, tmp_path)
    fill(memory, Encoder())
    fill(disk, Encoder())
    expected = latents_of(memory, dataset)
    again = on_disk(make_dataset(flip_aug=True), tmp_path)
    assert not finished(again.look_up()).keys
    for cache in (disk, again):
        found = latents_of(cache, dataset)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_second_run_encodes_nothing_and_reads_no_picture(make_dataset, tmp_path, monkeypatch):
    fill(on_disk(make_dataset(), tmp_path), Encoder())
    monkeypatch.setattr("lora_widgets.data.file_hashes.hash_file", lambda path: pytest.fail(f"reads {path}"))
    encode = Encoder()
    fill(on_disk(make_dataset(seed=9), tmp_path), encode)
    assert encode.pictures == 0


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"side": 48}, 5),
        ({"flip_aug": True}, 5),
        ({"bucket_no_upscale": True}, 2),
        ({"train_batch_size": 1}, 0),
    ],
    ids=str,
)
def test_what_decides_the_pixels_decides_what_is_encoded_again(make_dataset, tmp_path, changes, again):
    fill(on_disk(make_dataset(), tmp_path), Encoder())
    encode = Encoder()
    fill(on_disk(make_dataset(**changes), tmp_path), encode)
    assert encode.pictures == again
    back = Encoder()
    fill(on_disk(make_dataset(), tmp_path), back)
    assert back.pictures == 0


def test_another_vae_has_its_own_latents(make_dataset, tmp_path):
    fill(on_disk(make_dataset(), tmp_path), Encoder())
    encode = Encoder()
    fill(on_disk(make_dataset(), tmp_path, encoder="another"), encode)
    assert encode.pictures == 5


def test_a_picture_that_changed_is_encoded_again_alone(make_dataset, make_picture, tmp_path):
    fill(on_disk(make_dataset(), tmp_path), Encoder())
    old, new = (tmp_path / "pictures" / f"{number}.png" for number in (0, 2))
    new.write_bytes(make_picture(tmp_path / "other.png", (64, 64)).read_bytes())
    old.touch()  # written again with the same content: no reason to encode it
    encode = Encoder()
    fill(on_disk(make_dataset(), tmp_path), encode)
    assert encode.pictures == 1


def test_a_picture_that_moves_keeps_its_latents(make_dataset, tmp_path):
    fill(on_disk(make_dataset(), tmp_path), Encoder())
    (tmp_path / "pictures" / "0.png").rename(tmp_path / "pictures" / "z.png")
    encode = Encoder()
    fill(on_disk(make_dataset(), tmp_path), encode)
    assert encode.pictures == 0


def test_a_picture_that_changes_while_it_is_encoded_is_refused(make_dataset, tmp_path, monkeypatch):
    dataset = make_dataset()
    cache = on_disk(dataset, tmp_path)
    missing = finished(cache.look_up())
    read = dataset.pixels_of

    def read_and_edit(image, **how):
        pixels = read(image, **how)
        if image == 3:
            dataset.images[3].path.touch()
        return pixels

    monkeypatch.setattr(dataset, "pixels_of", read_and_edit)
    with pytest.raises(DatasetError, match=r"3\.png changed while"):
        list(cache.fill(missing.keys, Encoder(), batch_size=1))


def test_damaged_latents_are_counted_and_encoded_again_once(make_dataset, tmp_path):
    dataset = make_dataset()
    cache = on_disk(dataset, tmp_path)
    fill(cache, Encoder())
    expected = latents_of(cache, dataset)
    (shard,) = shards(tmp_path)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(CacheError, match="changed or deleted"):
        latents_of(cache, dataset)
    encode = Encoder()
    mended = on_disk(dataset, tmp_path)
    missing, _ = fill(mended, encode)
    assert (missing.damaged, encode.pictures) == (1, 1)
    again = on_disk(dataset, tmp_path)
    assert finished(again.look_up()) == ((), 0)
    assert all(torch.equal(again[key], latent) for key, latent in expected.items())


def test_nothing_is_read_ahead_for_an_empty_cache(make_dataset, tmp_path, monkeypatch):
    cache = on_disk(make_dataset(), tmp_path)
    monkeypatch.setattr("lora_widgets.data.file_hashes.hash_file", lambda path: pytest.fail(f"reads {path}"))
    assert list(cache.look_up()) == []


def test_hashes_are_remembered_when_looking_up_is_stopped(make_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("lora_widgets.data.latent_cache.REPORT_EVERY", 1)
    fill(on_disk(make_dataset(), tmp_path), Encoder())
    for file in (tmp_path / "cache" / "files").iterdir():
        file.unlink()
    looking = on_disk(make_dataset(), tmp_path).look_up()
    for _ in range(4):
        next(looking)
    looking.close()
    (file,) = (tmp_path / "cache" / "files").iterdir()
    assert len(file.read_text().splitlines()) == 3


def test_what_was_encoded_before_a_stop_is_not_encoded_again(make_dataset, tmp_path):
    cache = on_disk(make_dataset(), tmp_path)
    filling = cache.fill(finished(cache.look_up()).keys, Encoder(), batch_size=1)
    for _ in range(3):
        next(filling)
    filling.close()
    encode = Encoder()
    fill(on_disk(make_dataset(), tmp_path), encode)
    assert encode.pictures == 3


def test_nothing_is_written_among_the_pictures(make_dataset, tmp_path):
    fill(on_disk(make_dataset(), tmp_path), Encoder())
    assert len(list((tmp_path / "pictures").iterdir())) == 5


def test_crops_are_those_of_the_seed_and_each_is_encoded_once(make_dataset, tmp_path):
    changes = {"enable_bucket": False, "random_crop": True, "latent_cache_crops": 3}
    dataset, encode = make_dataset(**changes), Encoder()
    cache = on_disk(dataset, tmp_path)
    fill(cache, encode)
    crops = {
        dataset.cached_crop(LatentKey(image, crop, flipped=False)) for image in (3, 4) for crop in range(3)
    }
    assert all(0 <= left <= 64 and top == 0 for left, top in crops)
    assert len(crops) > 3
    # Three pictures fit their bucket, so they have one crop; the others have three, if all are different.
    assert encode.pictures == 3 + sum(
        len({dataset.cached_crop(key) for key in dataset.latent_keys(image)}) for image in (3, 4)
    )
    key = LatentKey(4, 2, flipped=False)
    expected = encode(dataset.pixels_of(4, crop=dataset.cached_crop(key), flip=False)[None])[0]
    assert torch.equal(cache[key], expected.float())
    same, other = make_dataset(**changes), make_dataset(seed=1, **changes)
    assert same.cached_crop(key) == dataset.cached_crop(key)
    assert [other.cached_crop(LatentKey(4, crop, flipped=False)) for crop in range(3)] != [
        dataset.cached_crop(LatentKey(4, crop, flipped=False)) for crop in range(3)
    ]


def test_latents_that_are_not_finite_name_the_picture(make_dataset):
    def encode(pixels):
        latents = pixels.clone()
        latents[1, 0, 0, 0] = float("nan")
        return latents

    with pytest.raises(TrainingError, match=r"1\.png.*full precision"):
        fill(LatentCache.in_memory(make_dataset()), encode, batch_size=3)


def test_damaged_picture_ends_the_filling_with_its_name(make_dataset, tmp_path):
    dataset = make_dataset()
    (tmp_path / "pictures" / "4.png").write_bytes(b"oops")
    with pytest.raises(DatasetError, match=r"4\.png"):
        fill(LatentCache.in_memory(dataset), Encoder())


def test_abandoned_filling_leaves_no_thread(make_dataset):
    cache = LatentCache.in_memory(make_dataset())
    filling = cache.fill(finished(cache.look_up()).keys, Encoder(), batch_size=1)
    next(filling)
    next(filling)
    filling.close()
    assert not [t for t in threading.enumerate() if t.name == "lora-widgets-prefetch"]
