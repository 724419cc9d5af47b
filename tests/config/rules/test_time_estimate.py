"""What is known of the time before a run, by what a run of the same kind took."""

import pytest
from situations import BASE, SD15_SIZE

from lora_widgets.config.facts import DatasetFacts, Facts
from lora_widgets.config.steps import steps_of
from lora_widgets.config.time_estimate import expected_seconds, forget_paces, remember_pace
from lora_widgets.config.training_config import TrainingConfig

SQUARES = DatasetFacts(images=10, bucket_counts=(10,), bucket_sizes=((512, 512),))
FACTS = Facts(dataset=SQUARES, base_model=SD15_SIZE, cuda=True)


@pytest.fixture(autouse=True)
def one_run_is_known():
    remember(seconds_per_step=2.0)
    yield
    forget_paces()


def config_of(**changes):
    return TrainingConfig(
        **{**BASE, "train_batch_size": 2, "max_train_epochs": 4, "max_train_steps": 0, **changes}
    )


def remember(*, seconds_per_step):
    steps = steps_of(config_of(), SQUARES)
    assert steps is not None
    remember_pace(config_of(), FACTS, steps, seconds_per_step=seconds_per_step)


def expected(facts=FACTS, **changes):
    config = config_of(**changes)
    assert facts.dataset is not None
    steps = steps_of(config, facts.dataset)
    assert steps is not None
    return expected_seconds(config, facts, steps)


def test_a_run_of_the_same_kind_takes_as_long_for_each_pixel():
    assert expected() == pytest.approx(20 * 2.0)
    assert expected(max_train_epochs=8) == pytest.approx(40 * 2.0)
    assert expected(train_batch_size=1) == pytest.approx(40 * 1.0)


def test_larger_pictures_take_longer():
    large = DatasetFacts(images=10, bucket_counts=(10,), bucket_sizes=((1024, 512),))
    assert expected(Facts(dataset=large, base_model=SD15_SIZE, cuda=True)) == pytest.approx(20 * 4.0)


@pytest.mark.parametrize(
    "changes", [{"mixed_precision": "no"}, {"base_weights": "fp8"}, {"gradient_checkpointing": False}]
)
def test_nothing_is_said_about_a_run_of_another_kind(changes):
    base = config_of()
    assert any(getattr(base, name) != value for name, value in changes.items())
    assert expected(**changes) is None


def test_nothing_is_said_about_another_machine_or_model():
    assert expected(Facts(dataset=SQUARES, base_model=SD15_SIZE)) is None
    assert expected(Facts(dataset=SQUARES, cuda=True)) is None


def test_the_newest_measurement_counts():
    remember(seconds_per_step=3.0)
    assert expected() == pytest.approx(20 * 3.0)
