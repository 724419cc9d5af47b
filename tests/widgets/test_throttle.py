"""Tests of lora_widgets/widgets/throttle.py."""

from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.widgets.throttle import Throttle


def draw(throttle, clock, *, cost):
    with throttle.drawing():
        clock.now += cost


def test_the_first_drawing_is_due_at_once(clock):
    assert Throttle(clock).due()


def test_cheap_drawings_come_twice_a_second(clock):
    throttle = Throttle(clock)
    draw(throttle, clock, cost=0.0)
    clock.now += 0.49
    assert not throttle.due()
    clock.now += 0.02
    assert throttle.due()


def test_an_expensive_drawing_waits_a_hundred_times_its_cost(clock):
    throttle = Throttle(clock)
    draw(throttle, clock, cost=0.1)
    clock.now += 9.8
    assert not throttle.due()
    clock.now += 0.2
    assert throttle.due()


class TickingClock:
    now = 0.0

    def __call__(self):
        return self.now


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=20))
def test_drawing_never_takes_more_than_its_share(costs):
    clock = TickingClock()
    throttle = Throttle(clock)
    spent = 0.0
    for cost in costs:
        while not throttle.due():
            clock.now += 0.05
        draw(throttle, clock, cost=cost)
        spent += cost
    while not throttle.due():
        clock.now += 0.05
    assert spent <= 0.0101 * clock.now + 1e-9
