import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.config.steps import plan_steps

# Recorded from sd-scripts' whole training loop; the header of the file says how.
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "steps.json").read_text())["cases"]


@pytest.mark.parametrize("case", GOLDEN)
def test_plan_is_what_the_reference_really_ran(case):
    counts = case["bucket_counts"]
    lengths = {name: case[name] for name in ("accumulation", "epochs", "max_steps")}
    plan = plan_steps(counts, batch_sizes=[case["batch_size"]] * len(counts), is_filled=False, **lengths)
    assert plan.batches_per_epoch == case["batches_per_epoch"]
    assert plan.epochs == case["num_epochs"]
    assert plan.total_steps == case["total_steps"] == case["final_step"]


@given(
    st.lists(st.tuples(st.integers(1, 200), st.integers(1, 16)), min_size=1, max_size=8),
    st.booleans(),
    st.integers(1, 9),
    st.integers(1, 20),
    st.integers(0, 300),
)
def test_plan_equals_counting_one_by_one(buckets, is_filled, accumulation, epochs, max_steps):
    plan = plan_steps(
        [count for count, _ in buckets],
        batch_sizes=[size for _, size in buckets],
        is_filled=is_filled,
        accumulation=accumulation,
        epochs=epochs,
        max_steps=max_steps,
    )
    batches = sum(len(range(0, count, size)) for count, size in buckets)
    steps_per_epoch = len(range(0, batches, accumulation))
    shown = sum(size * len(range(0, count, size)) if is_filled else count for count, size in buckets)
    assert (plan.images, plan.batches_per_epoch) == (shown, batches)
    assert plan.steps_per_epoch == steps_per_epoch
    assert plan.total_steps == (max_steps or epochs * steps_per_epoch)
    assert (plan.epochs - 1) * steps_per_epoch < plan.total_steps <= plan.epochs * steps_per_epoch


def test_fifty_pictures_ten_repeats_five_epochs_batch_two_are_1250_steps():
    plan = plan_steps([500], batch_sizes=[2], is_filled=False, accumulation=1, epochs=5, max_steps=0)
    assert plan.total_steps == 1250


@pytest.mark.parametrize(("counts", "epochs"), [([], 1), ([0], 1), ([5], 0)])
def test_nothing_to_plan_is_refused(counts, epochs):
    with pytest.raises(ValueError, match=r"must|no pictures"):
        plan_steps(
            counts,
            batch_sizes=[1] * len(counts),
            is_filled=False,
            accumulation=1,
            epochs=epochs,
            max_steps=0,
        )
