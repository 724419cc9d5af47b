import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_list import pictures

from lora_widgets.data.buckets import Bucket, plan_buckets
from lora_widgets.data.merge import merge_small_buckets

sizes = st.sampled_from([(64, 64), (48, 80), (100, 50), (30, 90), (70, 40)])
picture_lists = st.lists(st.tuples(sizes, st.integers(1, 5)), min_size=1, max_size=12)


@pytest.fixture
def merged(make_settings):
    def merge(listed, *, batch_size, may_enlarge=True):
        images = pictures(listed)
        settings = make_settings(bucket_no_upscale=not may_enlarge)
        plan = plan_buckets(settings, images, resolution=(64, 64), step=16)
        return plan, merge_small_buckets(plan, images, batch_size=batch_size, may_enlarge=may_enlarge)

    return merge


def counts_of(plan, listed):
    counts = dict.fromkeys(plan.buckets, 0)
    for placement, (_, repeats) in zip(plan.placements, listed, strict=True):
        counts[placement.bucket] += repeats
    return counts


@given(picture_lists, st.integers(1, 8))
def test_afterwards_every_bucket_fills_a_batch_or_there_is_only_one(merged, listed, batch_size):
    before, after = merged(listed, batch_size=batch_size)
    counts = counts_of(after, listed)
    assert len(counts) == 1 or all(count >= batch_size for count in counts.values())
    assert set(counts) <= set(before.buckets)
    full = {bucket for bucket, count in counts_of(before, listed).items() if count >= batch_size}
    for old, new in zip(before.placements, after.placements, strict=True):
        assert old == new or old.bucket not in full


@given(picture_lists, st.integers(1, 8), st.booleans())
def test_a_moved_picture_covers_its_new_bucket(merged, listed, batch_size, may_enlarge):
    _, after = merged(listed, batch_size=batch_size, may_enlarge=may_enlarge)
    for placement, (size, _) in zip(after.placements, listed, strict=True):
        (left, top), bucket = placement.crop, placement.bucket
        assert 0 <= left <= placement.resized[0] - bucket.width
        assert 0 <= top <= placement.resized[1] - bucket.height
        if not may_enlarge:
            assert placement.resized[0] <= size[0]
            assert placement.resized[1] <= size[1]


def test_a_picture_goes_to_the_nearest_of_the_buckets_that_fill_a_batch(merged):
    _, after = merged([((64, 64), 4), ((100, 50), 4), ((70, 40), 1)], batch_size=4)
    assert after.placements[2].bucket == after.placements[1].bucket


def test_where_no_bucket_fills_a_batch_the_fullest_takes_all(merged):
    _, after = merged([((64, 64), 3), ((100, 50), 2), ((30, 90), 1)], batch_size=8)
    assert after.buckets == (Bucket(64, 64),)
