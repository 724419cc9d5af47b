"""The order of epochs by law; counts against recorded runs of kohya-ss/sd-scripts (golden/batches.json)."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_list import picture, pictures

from lora_widgets.data.buckets import plan_buckets
from lora_widgets.data.order import epoch_order, group_by_bucket

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "batches.json").read_text())
sizes = st.sampled_from([(64, 64), (48, 80), (100, 50), (30, 90)])
picture_lists = st.lists(st.tuples(sizes, st.integers(1, 5)), min_size=1, max_size=12)


def grouped(images, *settings):
    plan = plan_buckets(settings[0], images, resolution=(64, 64), step=16)
    return plan, group_by_bucket(plan, images, settings)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=range(len(GOLDEN["cases"])))
def test_batches_are_those_of_the_reference(make_settings, case):
    dataset = case["datasets"][0]
    images = pictures(
        [
            (tuple(int(side) for side in size.split("x")), subset["num_repeats"])
            for subset in dataset["subsets"]
            for size, count in subset["images"].items()
            for _ in range(count)
        ]
    )
    settings = make_settings(
        enable_bucket=dataset["enable_bucket"],
        min_bucket_reso=256,
        max_bucket_reso=1024,
        train_batch_size=dataset["batch_size"],
    )
    plan = plan_buckets(settings, images, resolution=(512, 512), step=64)
    groups = group_by_bucket(plan, images, [settings])
    if case["buckets"][0] is not None:
        expected = [[tuple(size), count] for size, count in case["buckets"][0]]
        found = [[(b.width, b.height), len(g.indices)] for b, g in zip(plan.buckets, groups, strict=True)]
        assert found == expected
    assert sum(group.num_batches for group in groups) == case["num_batches_per_epoch"]


@given(picture_lists, st.integers(1, 7), st.integers(0, 2**32), st.integers(1, 5))
def test_every_picture_appears_exactly_as_often_as_it_is_repeated(make_settings, listed, size, seed, epoch):
    images = pictures(listed)
    plan, groups = grouped(images, make_settings(train_batch_size=size))
    order = epoch_order(groups, seed=seed, epoch=epoch)
    seen = Counter(index for batch in order for index in batch)
    assert seen == {index: image.repeats for index, image in enumerate(images)}
    assert len(order) == sum(group.num_batches for group in groups)
    for batch in order:
        assert 1 <= len(batch) <= size
        assert len({plan.placements[index].bucket for index in batch}) == 1


def test_epochs_and_seeds_have_orders_of_their_own(make_settings):
    _, groups = grouped(pictures([((64, 64), 2)] * 10), make_settings())
    orders = {epoch_order(groups, seed=s, epoch=e) for s in (1, 2) for e in (1, 2)}
    assert len(orders) == 4
    assert epoch_order(groups, seed=1, epoch=2) in orders


def test_batches_of_different_buckets_are_mixed(make_settings):
    _, groups = grouped(pictures([((64, 64), 20), ((100, 50), 20)]), make_settings())
    order = epoch_order(groups, seed=0, epoch=1)
    which = [batch[0] for batch in order]
    assert which not in (sorted(which), sorted(which, reverse=True))


@given(picture_lists, st.integers(1, 7), st.integers(1, 5))
def test_filled_batches_are_full_and_show_every_picture_at_least_as_often(make_settings, listed, size, epoch):
    images = pictures(listed)
    _, groups = grouped(images, make_settings(train_batch_size=size, fills_batches=True))
    order = epoch_order(groups, seed=3, epoch=epoch)
    assert all(len(batch) == size for batch in order)
    seen = Counter(index for batch in order for index in batch)
    assert all(seen[index] >= image.repeats for index, image in enumerate(images))
    for group in groups:
        more = [seen[index] - images[index].repeats for index in set(group.indices)]
        assert sum(more) == -len(group.indices) % size


def test_which_pictures_fill_a_batch_changes_from_epoch_to_epoch(make_settings):
    images = pictures([((64, 64), 1)] * 9)
    _, groups = grouped(images, make_settings(train_batch_size=8, fills_batches=True))
    twice = set()
    for epoch in range(1, 6):
        order = epoch_order(groups, seed=0, epoch=epoch)
        twice.add(frozenset(i for i, n in Counter(i for batch in order for i in batch).items() if n > 1))
    assert len(twice) > 2


def test_parts_never_share_a_batch_and_keep_their_batch_sizes(make_settings):
    images = [picture((64, 64), 7), picture((64, 64), 7, part=1)]
    parts = make_settings(train_batch_size=2), make_settings(train_batch_size=5)
    _, groups = grouped(images, *parts)
    order = epoch_order(groups, seed=0, epoch=1)
    assert all(len(set(batch)) == 1 for batch in order)
    lengths = {index: sorted(len(batch) for batch in order if batch[0] == index) for index in (0, 1)}
    assert lengths == {0: [1, 2, 2, 2], 1: [2, 5]}
