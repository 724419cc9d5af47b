import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.catalog.lr_schedules import (
    LR_SCHEDULES,
    ScheduleShape,
    schedules_reading,
    step_rules,
)

# Recorded from sd-scripts' get_scheduler_fix; the header of the file says how.
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "lr_schedules.json").read_text())["cases"]


def shape_of(args, *, base_lr):
    total = args.get("max_train_steps", 1000)

    def steps(name):
        value = args.get(name, 0)
        return int(value * total) if isinstance(value, float) else value

    extra = dict(pair.split("=", 1) for pair in args.get("lr_scheduler_args", []))
    return ScheduleShape(
        total=total,
        warmup=steps("lr_warmup_steps"),
        cycles=args.get("lr_scheduler_num_cycles", 1),
        power=args.get("lr_scheduler_power", 1.0),
        min_ratio=args.get("lr_scheduler_min_lr_ratio", 0.0),
        decay_steps=steps("lr_decay_steps"),
        timescale=args.get("lr_scheduler_timescale") or 0,
        args={name: value.strip("'") for name, value in extra.items()},
        base_lr=base_lr,
    )


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: str(case["args"]))
def test_rates_are_those_of_the_reference(case):
    factor = LR_SCHEDULES[case["args"]["lr_scheduler"]].factor
    shape = shape_of(case["args"], base_lr=1e-3)

    def rates(steps):
        return [1e-3 * factor(step, shape) for step in steps]

    assert rates(range(0, shape.total, 50)) == pytest.approx(case["lr_every_50"], rel=1e-8, abs=1e-15)
    assert rates(range(15)) == pytest.approx(case["lr_first_15"], rel=1e-8, abs=1e-15)
    assert rates(range(shape.total - 5, shape.total)) == pytest.approx(case["lr_last_5"], rel=1e-8, abs=1e-15)
    # The reference has one factor for all groups: even polynomial's end is relative to the first rate.
    others = [5e-4 * factor(step, shape) for step in range(0, shape.total, 100)]
    assert others == pytest.approx(case["group2_every_100"], rel=1e-8, abs=1e-15)


shapes = st.builds(
    lambda total, warm, cycles, power, ratio, decay, timescale, gamma, base: ScheduleShape(
        total=total,
        warmup=int(warm * total),
        cycles=cycles,
        power=power,
        min_ratio=ratio,
        decay_steps=int(decay * (total - int(warm * total))),
        timescale=timescale,
        args={"gamma": gamma, "step_rules": "1:20,0.5:60,0.25"},
        base_lr=base,
    ),
    st.integers(1, 400),
    st.floats(0, 0.9),
    st.integers(1, 12),
    st.floats(0.1, 5),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 500),
    st.floats(0, 1),
    st.sampled_from([0.0, 1e-7, 1e-6, 1e-4, 1.0]),
)


@given(st.sampled_from(sorted(LR_SCHEDULES)), shapes, st.floats(0, 1.5))
def test_no_schedule_is_ever_negative_or_above_the_full_rate(name, shape, where):
    factor = LR_SCHEDULES[name].factor(int(where * shape.total), shape)
    assert math.isfinite(factor)
    assert 0.0 <= factor <= 1.0 + 1e-9


@given(st.sampled_from(sorted(LR_SCHEDULES)), shapes)
def test_every_warm_up_begins_low_and_reaches_the_full_rate(name, shape):
    factor = LR_SCHEDULES[name].factor
    if not LR_SCHEDULES[name].warms_up:
        assert factor(0, shape) == 1.0
    elif name not in ("rex", "cosine_annealing"):  # these warm up in each cycle, with a share of the steps
        if shape.warmup:
            assert factor(0, shape) <= 1 / shape.warmup
            assert factor(shape.warmup - 1, shape) >= (shape.warmup - 1) / shape.warmup
        if name != "cosine_warmup_with_min_lr" and shape.decay_steps < shape.total - shape.warmup:
            assert factor(shape.warmup, shape) == pytest.approx(1.0)


@given(st.sampled_from(sorted(LR_SCHEDULES)), shapes, st.integers(0, 1000))
def test_no_schedule_rises_again_after_the_last_step(name, shape, beyond):
    factor = LR_SCHEDULES[name].factor
    if name == "piecewise_constant":
        return
    assert factor(shape.total + beyond, shape) == pytest.approx(factor(shape.total, shape), abs=1e-12)


@given(shapes)
def test_schedules_end_where_promised(shape):
    def end(name):
        return LR_SCHEDULES[name].factor(shape.total, shape)

    assert end("linear") == pytest.approx(0.0, abs=1e-12)
    assert end("cosine") == pytest.approx(0.0, abs=1e-12)
    assert end("cosine_with_restarts") == 0.0
    assert end("warmup_stable_decay") == shape.min_ratio
    assert end("constant") == end("constant_with_warmup") == 1.0
    if shape.base_lr >= 1e-7:
        assert end("polynomial") * shape.base_lr == pytest.approx(1e-7)
        last_peak = shape.args["gamma"] ** (min(shape.cycles, shape.total) - 1)
        assert end("rex") == pytest.approx(min(1e-6 / shape.base_lr, last_peak))
        assert end("cosine_annealing") == pytest.approx(min(1e-6 / shape.base_lr, last_peak), abs=1e-12)
    if shape.cycles % 2:
        assert end("cosine_with_min_lr") == pytest.approx(shape.min_ratio)


def test_rex_follows_its_formula():
    shape = ScheduleShape(total=100, warmup=10, args={"min_lr": 0.0})
    rex = LR_SCHEDULES["rex"].factor
    values = [rex(step, shape) for step in (0, 5, 10, 33, 50, 67, 99)]
    assert values == pytest.approx([0, 0.5, 1, 0.9668, 0.9259, 0.8527, 0.1010], abs=1e-4)


def test_each_cycle_of_cosine_annealing_begins_lower_by_gamma():
    shape = ScheduleShape(total=90, cycles=3, args={"gamma": 0.5, "min_lr": 0.0})
    factor = LR_SCHEDULES["cosine_annealing"].factor
    assert [factor(step, shape) for step in (0, 30, 60)] == [1.0, 0.5, 0.25]
    assert factor(29, shape) < 0.01


@pytest.mark.parametrize("text", ["1:x,2", "a", "1:200,", "1;200,0.1", "-1:20,0", "nan"])
def test_unreadable_step_rules_are_refused(text):
    with pytest.raises(ValueError, match=r"."):
        step_rules(text)


def test_settings_know_the_schedules_that_read_them():
    assert schedules_reading("lr_power") == ("polynomial",)
    assert "cosine" not in schedules_reading("lr_scheduler_number")
