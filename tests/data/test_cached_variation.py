"""What varies from showing to showing varies in the same way when it was cached."""

import math
from collections import Counter
from itertools import permutations

import pytest
import torch

from lora_widgets.data.buckets import plan_buckets
from lora_widgets.data.dataset import Dataset
from lora_widgets.data.latent_cache import LatentCache
from lora_widgets.data.scan import scan

LIVELY = {"shuffle_caption": True, "keep_tokens": 1, "caption_tag_dropout_rate": 0.3}
WILD = {"enable_wildcard": True}
ORDERS = {f"n0, {', '.join(order)}" for order in permutations("abc")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_picture):
    path = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        make_picture(path / f"{number}.png", (68, 64), caption=f"n{number}, a, b, c")
    return path


@pytest.fixture
def make_dataset(folder, make_settings):
    def make(*, seed=0, variants=None, **changes) -> Dataset:
        changes = {"train_data_dir": str(folder), "enable_bucket": False, "train_batch_size": 3, **changes}
        settings = make_settings(**changes)
        images = scan(settings).images
        plan = plan_buckets(settings, images, resolution=(64, 64), step=16)
        dataset = Dataset(images, plan, [settings], seed=seed)
        if variants:
            dataset.use_caption_variants(variants)
        return dataset

    return make


class Edges:
    """Cached latents that are nothing but the left edge of their crop."""

    def __init__(self, dataset):
        self._dataset = dataset

    def __getitem__(self, key):
        return torch.tensor([[[float(self._dataset.cached_crop(key)[0])]]])


@pytest.fixture(autouse=True)
def no_pictures_are_opened(monkeypatch):
    """Captions and crops follow from the seed alone, so thousands of batches are quick."""
    monkeypatch.setattr("lora_widgets.data.dataset.open_image", lambda path: None)


def captions_of(dataset, *, image=None, batches=200):
    dataset.use_latents(Edges(dataset))
    found = Counter()
    for index in range(batches):
        batch = dataset.batch_at(index)
        found.update(
            caption
            for caption, shown in zip(batch.captions, batch.images, strict=True)
            if image in (None, shown)
        )
    return found


def far_from_even(counts, kinds):
    """Distance from equal shares in standard deviations of chi-square: beyond 5 is no accident."""
    total = sum(counts.values())
    expected = total / kinds
    chi = sum((count - expected) ** 2 / expected for count in counts.values())
    chi += expected * (kinds - len(counts))
    return (chi - (kinds - 1)) / math.sqrt(2 * (kinds - 1))


def test_a_cached_variant_is_one_of_the_live_captions_and_they_come_evenly(make_dataset):
    dataset = make_dataset(shuffle_caption=True, keep_tokens=1, variants=2)
    found = captions_of(dataset, image=0, batches=400)
    assert set(found) <= ORDERS
    assert len(found) == 2
    assert abs(far_from_even(found, 2)) < 5
    assert set(found) <= dataset.all_captions()


def test_over_many_seeds_cached_captions_are_distributed_as_live_ones(make_dataset):
    live, cached = Counter(), Counter()
    for seed in range(300):
        live += captions_of(make_dataset(seed=seed, **LIVELY), image=0, batches=1)
        cached += captions_of(make_dataset(seed=seed, variants=2, **LIVELY), image=0, batches=1)
    for found in (live, cached):
        rate = sum("a" in caption.split(", ") for caption in found.elements()) / 300
        assert abs(rate - 0.7) < 0.11
        whole = Counter({caption: count for caption, count in found.items() if caption in ORDERS})
        assert abs(far_from_even(whole, len(ORDERS))) < 5
        assert abs(whole.total() / 300 - 0.7**3) < 0.11


@pytest.mark.parametrize("changes", [{}, {"shuffle_caption": True}], ids=str)
def test_captions_are_dropped_at_their_rate_and_exactly_where_live_ones_are(make_dataset, changes):
    cached = make_dataset(caption_dropout_rate=0.2, variants=3, **changes)
    live = make_dataset(caption_dropout_rate=0.2, **changes)
    for dataset in (cached, live):
        dataset.use_latents(Edges(dataset))
    dropped = 0
    for index in range(300):
        pairs = list(zip(cached.batch_at(index).captions, live.batch_at(index).captions, strict=True))
        assert all((ours == "") == (theirs == "") for ours, theirs in pairs)
        dropped += sum(ours == "" for ours, _ in pairs)
    assert abs(dropped / 900 - 0.2) < 0.06
    assert "" in cached.all_captions()


def test_epochs_of_empty_captions_stay_empty(make_dataset):
    dataset = make_dataset(shuffle_caption=True, caption_dropout_every_n_epochs=2, variants=2)
    dataset.use_latents(Edges(dataset))
    assert [set(dataset.batch_at(epoch).captions) == {""} for epoch in range(4)] == [False, True] * 2


@pytest.mark.parametrize("changes", [LIVELY, {**LIVELY, **WILD, "caption_prefix": "{x|y}"}], ids=str)
def test_variants_are_a_function_of_the_seed_and_bounded_in_number(make_dataset, changes):
    first, again, other = (make_dataset(seed=seed, variants=3, **changes) for seed in (0, 0, 1))
    assert captions_of(first) == captions_of(again)
    assert first.all_captions() == again.all_captions() != other.all_captions()
    assert len(first.all_captions()) <= 3 * 3
    assert set(captions_of(first)) == first.all_captions()


def test_captions_that_do_not_vary_have_one_variant(make_dataset):
    plain, cached = make_dataset(), make_dataset(variants=5)
    assert cached.all_captions() == plain.all_captions() == {f"n{number}, a, b, c" for number in range(3)}
    assert captions_of(cached) == captions_of(plain)


def test_cached_crops_come_evenly_and_over_many_seeds_from_everywhere(make_dataset):
    changes = {"random_crop": True, "latent_cache_crops": 2}
    dataset = make_dataset(**changes)
    places = {
        image: [dataset.cached_crop(key)[0] for key in dataset.latent_keys(image)] for image in range(3)
    }
    dataset.use_latents(Edges(dataset))
    shown = Counter()
    for index in range(300):
        batch = dataset.batch_at(index)
        for image, latent in zip(batch.images, batch.latents, strict=True):
            assert int(latent) in places[image]
            shown[image, int(latent)] += 1
    distinct = {image: len(set(lefts)) for image, lefts in places.items()}
    for image in (image for image in range(3) if distinct[image] == 2):
        assert abs(far_from_even(Counter({key: n for key, n in shown.items() if key[0] == image}), 2)) < 5
    assert 2 in distinct.values()
    everywhere = Counter()
    for seed in range(300):
        dataset = make_dataset(seed=seed, **changes)
        dataset.use_latents(Edges(dataset))
        everywhere.update(int(latent) for latent in dataset.batch_at(0).latents)
    assert abs(far_from_even(everywhere, 5)) < 5  # 68 - 64 + 1 places


def test_what_a_batch_asks_for_is_what_the_cache_holds(make_dataset, monkeypatch):
    monkeypatch.undo()
    dataset = make_dataset(random_crop=True, latent_cache_crops=4, flip_aug=True)
    cache = LatentCache.in_memory(dataset)
    keys = {key for image in range(3) for key in dataset.latent_keys(image)}
    assert len(keys) == 3 * 4 * 2
    list(cache.look_up())
    list(cache.fill(sorted(keys), lambda pixels: pixels, batch_size=4))
    dataset.use_latents(cache)
    for index in range(20):
        batch = dataset.batch_at(index)
        assert batch.latents.shape == (3, 3, 64, 64)
        for image, flipped, latent in zip(batch.images, batch.flipped, batch.latents, strict=True):
            possible = [cache[key] for key in keys if (key.image, key.flipped) == (image, flipped)]
            assert any(torch.equal(latent, one) for one in possible)
