"""The order of epochs by law; counts against recorded runs of kohya-ss/sd-scripts (golden/batches.json)."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.data.buckets import bucket_counts, plan_buckets
from lora_widgets.data.order import count_batches, epoch_order, group_by_bucket
from lora_widgets.data.scan import ImageFile

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "batches.json").read_text())
sizes = st.sampled_from([(64, 64), (48, 80), (100, 50), (30, 90)])
picture_lists = st.lists(st.tuples(sizes, st.integers(1, 5)), min_size=1, max_size=12)


def files(sizes_and_repeats):
    return [ImageFile(Path(f"{n}.png"), s, ("",), r, "") for n, (s, r) in enumerate(sizes_and_repeats)]


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=range(len(GOLDEN["cases"])))
def test_batches_are_those_of_the_reference(make_settings, case):
    dataset = case["datasets"][0]
    images = files(
        [
            (tuple(int(side) for side in size.split("x")), subset["num_repeats"])
            for subset in dataset["subsets"]
            for size, count in subset["images"].items()
            for _ in range(count)
        ]
    )
    settings = make_settings(
        enable_bucket=dataset["enable_bucket"], min_bucket_reso=256, max_bucket_reso=1024
    )
    plan = plan_buckets(settings, images, resolution=(512, 512), step=64)
    if case["buckets"][0] is not None:
        expected = [[tuple(size), count] for size, count in case["buckets"][0]]
        counts = bucket_counts(plan, images)
        assert [[(b.width, b.height), n] for b, n in zip(plan.buckets, counts, strict=True)] == expected
    groups = group_by_bucket(plan, images)
    assert count_batches(groups, dataset["batch_size"]) == case["num_batches_per_epoch"]


@given(picture_lists, st.integers(1, 7), st.integers(0, 2**32), st.integers(1, 5))
def test_every_picture_appears_exactly_as_often_as_it_is_repeated(make_settings, pictures, size, seed, epoch):
    images = files(pictures)
    plan = plan_buckets(make_settings(), images, resolution=(64, 64), step=16)
    groups = group_by_bucket(plan, images)
    order = epoch_order(groups, batch_size=size, seed=seed, epoch=epoch)
    seen = Counter(index for batch in order for index in batch)
    assert seen == {index: image.repeats for index, image in enumerate(images)}
    assert len(order) == count_batches(groups, size)
    for batch in order:
        assert 1 <= len(batch) <= size
        assert len({plan.placements[index].bucket for index in batch}) == 1


def test_epochs_and_seeds_have_orders_of_their_own(make_settings):
    images = files([((64, 64), 2)] * 10)
    plan = plan_buckets(make_settings(), images, resolution=(64, 64), step=16)
    groups = group_by_bucket(plan, images)
    orders = {epoch_order(groups, batch_size=2, seed=s, epoch=e) for s in (1, 2) for e in (1, 2)}
    assert len(orders) == 4
    assert epoch_order(groups, batch_size=2, seed=1, epoch=2) in orders


def test_batches_of_different_buckets_are_mixed(make_settings):
    images = files([((64, 64), 20), ((100, 50), 20)])
    plan = plan_buckets(make_settings(), images, resolution=(64, 64), step=16)
    order = epoch_order(group_by_bucket(plan, images), batch_size=2, seed=0, epoch=1)
    which = [batch[0] for batch in order]
    assert which not in (sorted(which), sorted(which, reverse=True))
