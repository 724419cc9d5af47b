"""How long the rest of a run takes is told once, from its first steps."""

from lora_widgets.config.cadence import Every
from lora_widgets.config.steps import StepPlan
from lora_widgets.events import StepDone, TimeEstimate
from lora_widgets.training.pace import MEASURED_STEPS, PaceMeter
from lora_widgets.training.start import iter_training

PLAN = StepPlan(images=10, batches_per_epoch=10, steps_per_epoch=10, epochs=10, total_steps=100)
NEVER, OFTEN = Every(0, 0), Every(0, 10)


def told(seconds, *, sample_every=NEVER, rounds=()):
    """Return what is told after steps that took so many seconds."""
    meter, found = PaceMeter(), []
    for took in rounds:
        meter.take_round(took)
    for step, took in enumerate(seconds, start=1):
        meter.take_step(took)
        found += meter.news(step, PLAN, sample_every)
    return found


def test_the_first_step_does_not_count():
    (estimate,) = told([60.0, *[2.0] * 20])
    assert estimate == TimeEstimate(94, 2.0, 94 * 2.0)


def test_samples_are_counted_once_they_have_been_drawn():
    steps = [2.0] * (MEASURED_STEPS + 1)
    (known,) = told(steps, sample_every=OFTEN, rounds=[7.0])
    (unknown,) = told(steps, sample_every=OFTEN)
    assert known.seconds_left - unknown.seconds_left == 10 * 7.0


def test_a_run_that_ends_first_says_nothing():
    assert told([2.0] * MEASURED_STEPS) == []


def test_a_run_tells_it_after_the_steps_that_were_measured(make_config):
    events = list(iter_training(make_config(max_train_steps=MEASURED_STEPS + 3)))
    kinds = [type(event) for event in events if isinstance(event, StepDone | TimeEstimate)]
    assert kinds.index(TimeEstimate) == MEASURED_STEPS + 1
    assert kinds.count(TimeEstimate) == 1
