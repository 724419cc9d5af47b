"""Tests of lora_widgets/widgets/session.py."""

import threading

import pytest
from fake_run import FakeRun
from until import until

from lora_widgets.demo.config import demo_config
from lora_widgets.errors import ConfigError
from lora_widgets.widgets.kept_output import Record
from lora_widgets.widgets.session import Session, Stage, in_words

CONFIG = demo_config(output_dir="out")


class Keeper:
    def __init__(self):
        self.records: list[Record] = []

    def keep(self, record):
        self.records.append(record)


@pytest.fixture
def keeper():
    return Keeper()


@pytest.fixture
def stages():
    return []


@pytest.fixture
def make_session(keeper, stages, tmp_path):
    def make(*, gate=None, **options):
        def start(config, *, listeners):
            (listener,) = listeners
            if gate is not None:
                gate.wait()
            return FakeRun(listener, folder=tmp_path, **{"steps": 5, "step_s": 0.0, **options}).start()

        session = Session(start, keeper=keeper, changed=lambda: stages.append(session.stage))
        return session

    return make


def test_a_run_begins_in_the_background_and_both_ends_are_told(make_session, stages, keeper):
    loaded = threading.Event()
    session = make_session(gate=loaded)
    assert session.ask()
    session.begin(CONFIG)
    assert session.stage is Stage.STARTING
    assert session.monitor is not None
    loaded.set()
    until(lambda: len(stages) == 2)
    assert stages == [Stage.RUNNING, Stage.IDLE]
    assert session.run.done.is_set()
    assert session.problem is None
    assert keeper.records[0].headline.startswith("zork: done, 5 steps, loss ")


def test_only_an_idle_session_can_be_asked(make_session, stages):
    session = make_session(step_s=0.01, steps=10_000)
    assert session.ask()
    assert not session.ask()
    session.begin(CONFIG)
    assert not session.ask()
    until(lambda: stages)
    assert not session.ask()
    session.run.stop()
    until(lambda: session.stage is Stage.IDLE)
    assert session.ask()


def test_a_refusal_makes_it_idle_again(make_session):
    session = make_session()
    session.ask()
    session.refuse()
    assert session.ask()


def test_an_error_of_the_run_is_kept(make_session, stages):
    session = make_session(fails_at=3)
    session.begin(CONFIG)
    until(lambda: len(stages) == 2)
    assert str(session.problem) == "the loss is not finite"


def test_a_run_that_cannot_be_started_is_a_problem_shown_in_its_monitor(keeper, stages):
    def start(config, *, listeners):
        raise ConfigError("no <torch> here")

    session = Session(start, keeper=keeper, changed=lambda: stages.append(session.stage))
    session.begin(CONFIG)
    until(lambda: stages)
    assert session.stage is Stage.IDLE
    assert isinstance(session.problem, ConfigError)
    assert "no &lt;torch&gt; here" in keeper.records[0].markup


def test_each_run_has_a_monitor_of_its_own_and_forgets_the_problem_before(make_session, stages):
    session = make_session(fails_at=2)
    session.begin(CONFIG)
    first = session.monitor
    until(lambda: len(stages) == 2)
    session.begin(CONFIG)
    assert session.problem is None
    assert session.monitor is not first
    until(lambda: len(stages) == 4)


def test_its_thread_does_not_keep_a_process_alive(make_session, stages):
    session = make_session(step_s=0.01, steps=10_000)
    session.begin(CONFIG)
    until(lambda: stages)
    (thread,) = [t for t in threading.enumerate() if t.name == "lora-widgets-session"]
    assert thread.daemon
    session.run.stop()
    until(lambda: session.stage is Stage.IDLE)


def test_our_errors_explain_themselves_and_others_are_named():
    assert in_words(ConfigError("take another")) == "take another"
    assert in_words(ZeroDivisionError("oops")) == "ZeroDivisionError: oops"
