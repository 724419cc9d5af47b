import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from PIL import Image

from lora_widgets.data.buckets import BucketPlan, crop_conditioning, plan_buckets
from lora_widgets.data.dataset import Dataset
from lora_widgets.data.latent_cache import LatentCache
from lora_widgets.data.prefetch import Prefetcher
from lora_widgets.data.scan import scan
from lora_widgets.errors import DatasetError

LIVELY = {"shuffle_caption": True, "flip_aug": True, "caption_dropout_rate": 0.2, "num_repeats": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_picture):
    path = tmp_path_factory.mktemp("pictures")
    for number in range(7):
        make_picture(path / f"{number}.png", (40 + 10 * (number % 3), 40), caption=f"n{number}, a, b, c, d")
    return path


@pytest.fixture
def make_dataset(folder, make_settings):
    def make(*, seed=1, **changes) -> Dataset:
        settings = make_settings(train_data_dir=str(folder), **changes)
        images = scan(settings).images
        plan = plan_buckets(settings, images, resolution=(64, 64), step=16)
        return Dataset(images, plan, [settings], seed=seed)

    return make


def as_values(batch):
    pixels = None if batch.pixels is None else batch.pixels.numpy().tobytes()
    return batch.images, batch.captions, batch.flipped, pixels


def whole_picture_latents(pixels):
    return pixels.mean(1, keepdim=True)


def filled(dataset) -> LatentCache:
    cache = LatentCache.in_memory(dataset)
    assert list(cache.look_up()) == []  # in memory there is nothing to read
    keys = [key for image in range(len(dataset.images)) for key in dataset.latent_keys(image)]
    for _ in cache.fill(keys, whole_picture_latents, batch_size=3):
        pass
    return cache


def test_batch_holds_pictures_of_one_bucket(make_dataset):
    dataset = make_dataset()
    for index in range(dataset.batches_per_epoch):
        batch = dataset.batch_at(index)
        bucket = dataset.plan.placements[batch.images[0]].bucket
        assert batch.pixels.shape == (len(batch.images), 3, bucket.height, bucket.width)
        assert len(batch.captions) == len(batch.flipped) == len(batch.images)
        assert batch.latents is None
        for image, caption in zip(batch.images, batch.captions, strict=True):
            assert caption.startswith(f"n{image}, ")


def test_each_epoch_shows_every_picture_as_often_as_repeated(make_dataset):
    dataset = make_dataset(num_repeats=3)
    for epoch in range(2):
        start = epoch * dataset.batches_per_epoch
        batches = [dataset.batch_at(start + index) for index in range(dataset.batches_per_epoch)]
        assert sorted(image for batch in batches for image in batch.images) == sorted(list(range(7)) * 3)


def test_batches_do_not_depend_on_the_order_of_calls_threads_or_a_new_start(make_dataset):
    dataset = make_dataset(random_crop=True, **LIVELY)
    count = 3 * dataset.batches_per_epoch
    expected = [as_values(dataset.batch_at(index)) for index in range(count)]
    indices = list(range(count))
    random.Random(0).shuffle(indices)
    resumed = make_dataset(random_crop=True, **LIVELY)
    assert all(as_values(resumed.batch_at(index)) == expected[index] for index in indices)
    with Prefetcher(dataset.batch_at, start=5, stop=count, ahead=4) as batches:
        assert [as_values(batch) for batch in batches] == expected[5:]
    with ThreadPoolExecutor(4) as pool:
        assert [as_values(batch) for batch in pool.map(dataset.batch_at, range(count))] == expected


def test_another_seed_gives_other_batches(make_dataset):
    first, second = make_dataset(seed=1, **LIVELY), make_dataset(seed=2, **LIVELY)
    assert [first.batch_at(n).captions for n in range(5)] != [second.batch_at(n).captions for n in range(5)]


def test_cached_latents_are_those_of_the_same_pictures_captions_and_flips(make_dataset):
    live, cached = make_dataset(**LIVELY), make_dataset(**LIVELY)
    cached.use_latents(filled(cached))
    flips = set()
    for index in range(2 * live.batches_per_epoch):
        expected, batch = live.batch_at(index), cached.batch_at(index)
        assert (batch.images, batch.captions, batch.flipped) == (
            expected.images,
            expected.captions,
            expected.flipped,
        )
        assert batch.pixels is None
        assert torch.equal(batch.latents, whole_picture_latents(expected.pixels))
        flips |= set(batch.flipped)
    assert flips == {True, False}


def test_flips_happen_half_of_the_time_and_only_when_wanted(make_dataset):
    dataset = make_dataset(flip_aug=True, num_repeats=30)
    dataset.use_latents(filled(dataset))
    flipped = [flip for index in range(dataset.batches_per_epoch) for flip in dataset.batch_at(index).flipped]
    assert 0.35 < sum(flipped) / len(flipped) < 0.65
    assert not any(any(make_dataset().batch_at(index).flipped) for index in range(4))


def test_sizes_say_what_a_picture_was_before_it_was_cut(make_dataset):
    dataset = make_dataset(flip_aug=True)
    dataset.use_latents(filled(dataset))
    seen = set()
    for index in range(4 * dataset.batches_per_epoch):
        batch = dataset.batch_at(index)
        for image, flip, row in zip(batch.images, batch.flipped, batch.sizes.tolist(), strict=True):
            (width, height), bucket = dataset.images[image].size, dataset.placement_of(image).bucket
            left, top = crop_conditioning((width, height), bucket, flip=flip)
            assert row == [height, width, top, left, bucket.height, bucket.width]
            seen.add((image, flip))
    assert len(seen) == 14


def test_random_crop_moves_the_cut(make_dataset):
    changes = {"enable_bucket": False, "num_repeats": 4, "train_batch_size": 1}
    live, moving = make_dataset(**changes), make_dataset(random_crop=True, **changes)
    moved, wide = 0, 0
    for index in range(live.batches_per_epoch):
        batch = live.batch_at(index)
        spare = live.plan.placements[batch.images[0]].resized[0] - 64
        wide += spare > 0
        moved += not torch.equal(batch.pixels, moving.batch_at(index).pixels)
        assert spare > 0 or torch.equal(batch.pixels, moving.batch_at(index).pixels)
    assert wide // 2 < moved <= wide


def test_captions_are_dropped_in_the_epochs_that_say_so(make_dataset):
    dataset = make_dataset(caption_dropout_every_n_epochs=2)
    per_epoch = dataset.batches_per_epoch
    empty = [
        all(
            caption == ""
            for index in range(per_epoch)
            for caption in dataset.batch_at(e * per_epoch + index).captions
        )
        for e in range(4)
    ]
    assert empty == [False, True, False, True]


def test_all_captions_lists_what_can_occur(make_dataset):
    plain = make_dataset(caption_prefix="p,")
    captions = plain.all_captions()
    assert captions == {f"p, n{number}, a, b, c, d" for number in range(7)}
    assert {c for index in range(plain.batches_per_epoch) for c in plain.batch_at(index).captions} == captions
    assert make_dataset(caption_prefix="p,", caption_dropout_rate=0.1).all_captions() == captions | {""}
    assert make_dataset(shuffle_caption=True).all_captions() is None


def test_picture_that_changed_since_the_scan_is_named(tmp_path, make_picture, make_settings):
    path = make_picture(tmp_path / "a.png", (64, 64))
    settings = make_settings(train_data_dir=str(tmp_path))
    images = scan(settings).images
    dataset = Dataset(
        images, plan_buckets(settings, images, resolution=(64, 64), step=16), [settings], seed=0
    )
    make_picture(path, (32, 90))
    with pytest.raises(DatasetError, match=r"a\.png is 32x90 now, but was 64x64"):
        dataset.batch_at(0)


def test_no_pictures_is_an_error(make_settings):
    with pytest.raises(DatasetError, match="no pictures"):
        Dataset([], BucketPlan(()), make_settings(), seed=0)


@pytest.fixture
def masked(tmp_path, make_settings, make_picture):
    """Two pictures of 64 px, the first with a mask file whose left half is black, the second transparent."""

    def make(**changes):
        settings = make_settings(train_data_dir=str(tmp_path / "pictures"), **changes)
        make_picture(tmp_path / "pictures" / "a.png", (64, 64))
        clear = Image.new("RGBA", (64, 64), (9, 9, 9, 255))
        clear.paste((9, 9, 9, 0), (0, 0, 64, 16))
        clear.save(tmp_path / "pictures" / "b.png")
        mask = Image.new("L", (64, 64), 255)
        mask.paste(0, (0, 0, 32, 64))
        mask.save(tmp_path / "mask.png")
        images = [
            replace(image, mask=tmp_path / "mask.png") if image.path.stem == "a" else image
            for image in scan(settings).images
        ]
        plan = plan_buckets(settings, images, resolution=(64, 64), step=16)
        return Dataset(images, plan, [settings], seed=0)

    return make


def test_a_mask_file_and_transparency_say_where_to_learn(masked):
    dataset = masked(alpha_mask=True)
    batch = dataset.batch_at(0)
    assert batch.masks.shape == (2, 1, 64, 64)
    by_image = dict(zip(batch.images, batch.masks, strict=True))
    assert by_image[0][..., :32].max() == 0
    assert by_image[0][..., 32:].min() == 1
    assert by_image[1][:, :16].max() == 0
    assert by_image[1][:, 16:].min() == 1


def test_pictures_without_a_mask_learn_everywhere(masked):
    batch = masked().batch_at(0)
    by_image = dict(zip(batch.images, batch.masks, strict=True))
    assert by_image[1].min() == 1
    assert by_image[0].min() == 0


def test_masks_are_mirrored_with_their_pictures_and_go_with_cached_latents(masked):
    live, cached = masked(flip_aug=True), masked(flip_aug=True)
    cached.use_latents(filled(cached))
    seen = set()
    for index in range(8):
        batch = live.batch_at(index)
        assert torch.equal(batch.masks, cached.batch_at(index).masks)
        for image, flipped, mask in zip(batch.images, batch.flipped, batch.masks, strict=True):
            if image == 0:
                seen.add((flipped, mask[0, 0, 0].item()))
    assert seen == {(False, 0.0), (True, 1.0)}


def test_without_masks_a_batch_has_none(make_dataset):
    assert make_dataset().batch_at(0).masks is None
