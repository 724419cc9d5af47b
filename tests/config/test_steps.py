import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.config.steps import plan_steps

# Recorded from sd-scripts' whole training loop; the header of the file says how.
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "steps.json").read_text())["cases"]
ARGUMENTS = ("batch_size", "accumulation", "epochs", "max_steps")


@pytest.mark.parametrize("case", GOLDEN)
def test_plan_is_what_the_reference_really_ran(case):
    plan = plan_steps(case["bucket_counts"], **{name: case[name] for name in ARGUMENTS})
    assert plan.batches_per_epoch == case["batches_per_epoch"]
    assert plan.epochs == case["num_epochs"]
    assert plan.total_steps == case["total_steps"] == case["final_step"]


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=8),
    st.integers(1, 16),
    st.integers(1, 9),
    st.integers(1, 20),
    st.integers(0, 300),
)
def test_plan_equals_counting_one_by_one(counts, batch_size, accumulation, epochs, max_steps):
    plan = plan_steps(
        counts, batch_size=batch_size, accumulation=accumulation, epochs=epochs, max_steps=max_steps
    )
    batches = sum(len(range(0, count, batch_size)) for count in counts)
    steps_per_epoch = len(range(0, batches, accumulation))
    assert (plan.images, plan.batches_per_epoch) == (sum(counts), batches)
    assert plan.steps_per_epoch == steps_per_epoch
    assert plan.total_steps == (max_steps or epochs * steps_per_epoch)
    assert (plan.epochs - 1) * steps_per_epoch < plan.total_steps <= plan.epochs * steps_per_epoch


def test_fifty_pictures_ten_repeats_five_epochs_batch_two_are_1250_steps():
    assert plan_steps([500], batch_size=2, accumulation=1, epochs=5, max_steps=0).total_steps == 1250


@pytest.mark.parametrize(("counts", "epochs"), [([], 1), ([0], 1), ([5], 0)])
def test_nothing_to_plan_is_refused(counts, epochs):
    with pytest.raises(ValueError, match=r"must|no pictures"):
        plan_steps(counts, batch_size=1, accumulation=1, epochs=epochs, max_steps=0)
