from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.config.cadence import Every


def test_off_is_never_due():
    assert not Every(epochs=0, steps=0).is_on
    assert not any(Every(epochs=0, steps=0).due(step, steps_per_epoch=3) for step in range(20))


def test_epochs_are_due_at_their_ends():
    due = [step for step in range(20) if Every(epochs=2, steps=0).due(step, steps_per_epoch=3)]
    assert due == [6, 12, 18]


@given(st.integers(0, 5), st.integers(0, 7), st.integers(1, 6), st.integers(0, 100))
def test_both_cadences_act(epochs, steps, steps_per_epoch, step):
    both = Every(epochs=epochs, steps=steps).due(step, steps_per_epoch=steps_per_epoch)
    alone = [Every(epochs=epochs, steps=0), Every(epochs=0, steps=steps)]
    assert both == any(every.due(step, steps_per_epoch=steps_per_epoch) for every in alone)
