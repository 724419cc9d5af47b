import threading

import pytest
import torch

from lora_widgets.data.buckets import plan_buckets
from lora_widgets.data.cache import LatentCache
from lora_widgets.data.dataset import Dataset
from lora_widgets.data.scan import scan
from lora_widgets.errors import DatasetError, TrainingError


@pytest.fixture
def make_dataset(tmp_path, make_picture, make_settings):
    def make(**changes) -> Dataset:
        for number in range(5):
            make_picture(tmp_path / f"{number}.png", (64, 64) if number < 3 else (96, 48))
        settings = make_settings(train_data_dir=str(tmp_path), num_repeats=4, **changes)
        images = scan(settings).images
        plan = plan_buckets(settings, images, resolution=(64, 64), step=16)
        return Dataset(images, plan, [settings], seed=0)

    return make


def test_each_picture_is_encoded_once_in_batches_of_one_bucket(make_dataset):
    shapes = []

    def encode(pixels):
        shapes.append(tuple(pixels.shape))
        return pixels[:, :, ::4, ::4].to(torch.float16)

    cache = LatentCache()
    progress = list(cache.fill(make_dataset(), encode, batch_size=2))
    assert progress == [(0, 5), (2, 5), (3, 5), (5, 5)]
    assert [shape[0] for shape in shapes] == [2, 1, 2]
    assert len(cache) == 5
    assert all((index, False) in cache and (index, True) not in cache for index in range(5))
    assert cache[0, False].shape == (3, 16, 16)
    assert cache[0, False].dtype == torch.float32


def test_mirrored_pictures_are_encoded_for_themselves(make_dataset):
    def encode(pixels):  # depends on the direction, as a real encoder does
        return pixels * torch.linspace(0, 1, pixels.shape[-1])

    dataset, cache = make_dataset(flip_aug=True), LatentCache()
    assert list(cache.fill(dataset, encode, batch_size=8))[-1] == (10, 10)
    for index in range(5):
        expected = encode(dataset.pixels_of(index, crop=None, flip=True)[None])[0]
        assert torch.equal(cache[index, True], expected)
        assert not torch.allclose(cache[index, True], cache[index, False].flip(-1))


def test_latents_that_are_not_finite_name_the_picture_and_the_remedy(make_dataset):
    def encode(pixels):
        latents = pixels.clone()
        latents[1, 0, 0, 0] = float("nan")
        return latents

    with pytest.raises(TrainingError, match=r"1\.png.*no_half_vae"):
        list(LatentCache().fill(make_dataset(), encode, batch_size=3))


def test_damaged_picture_ends_the_filling_with_its_name(make_dataset, tmp_path):
    dataset = make_dataset()
    (tmp_path / "4.png").write_bytes(b"oops")
    with pytest.raises(DatasetError, match=r"4\.png"):
        list(LatentCache().fill(dataset, lambda pixels: pixels, batch_size=1))


def test_abandoned_filling_leaves_no_thread(make_dataset):
    filling = LatentCache().fill(make_dataset(), lambda pixels: pixels, batch_size=1)
    next(filling)
    next(filling)
    filling.close()
    assert not [t for t in threading.enumerate() if t.name == "lora-widgets-prefetch"]
