"""Stopping and resuming gives the weights an uninterrupted run gives, bit for bit."""

import threading

import pytest
import torch
from runs import assert_same_weights, losses, run

from lora_widgets.errors import StateError
from lora_widgets.events import Finished, StepDone

pytestmark = pytest.mark.any_libraries
STEPS = 7
DEMANDING = {
    "max_train_steps": STEPS,
    "network_dropout": 0.3,
    "flip_aug": True,
    "shuffle_caption": True,
    "caption_dropout_rate": 0.2,
    "gradient_accumulation_steps": 2,
    "train_batch_size": 3,
    "lr_scheduler": "cosine",
    "noise_offset": 0.05,
}


@pytest.fixture
def noisy_neighbour():
    """Another thread of the kernel that draws from torch's global generator all the time."""
    end = threading.Event()

    def draw():
        while not end.wait(0.001):
            torch.randn(16)

    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    yield
    end.set()
    thread.join()


@pytest.mark.parametrize("stop_after", [4, 6])
def test_weights_after_stop_and_resume_are_those_of_an_uninterrupted_run(
    make_config, tmp_path, noisy_neighbour, stop_after
):
    whole = make_config(**DEMANDING, output_dir=str(tmp_path / "whole"))
    parts = make_config(**DEMANDING, output_dir=str(tmp_path / "parts"))
    uninterrupted = losses(run(whole))
    first = run(parts, stop_after=stop_after)
    assert first[-1] == Finished("stopped", stop_after, STEPS, first[-1].seconds, first[-1].files)
    second = run(parts.with_changes(resume="latest"))
    assert losses([*first, *second]) == uninterrupted
    assert_same_weights(parts, whole)


def test_a_run_with_live_latents_and_random_crops_resumes_exactly(make_config, tmp_path):
    changes = {"cache_latents": False, "random_crop": True, "text_encoder_lr": 0.0, "max_train_steps": 4}
    whole = make_config(**changes, output_dir=str(tmp_path / "whole"))
    parts = make_config(**changes, output_dir=str(tmp_path / "parts"))
    run(whole)
    run(parts, stop_after=2)
    run(parts.with_changes(resume="latest"))
    assert_same_weights(parts, whole)


def test_resuming_with_other_defining_settings_lists_what_differs(make_config):
    config = make_config()
    run(config, stop_after=1)
    changed = config.with_changes(resume="latest", network_dim=8, seed=7)
    with pytest.raises(StateError, match=r"network_dim: 4 then, 8 now; seed: 42 then, 7 now"):
        run(changed)


def test_resuming_a_finished_run_says_how_to_train_longer(make_config):
    config = make_config(max_train_steps=1)
    run(config)
    with pytest.raises(StateError, match="Raise `max_train_epochs` or `max_train_steps`"):
        run(config.with_changes(resume="latest"))
    longer = run(config.with_changes(resume="latest", max_train_steps=2))
    assert [e.step for e in longer if isinstance(e, StepDone)] == [2]


def test_latest_without_a_state_says_where_it_looked(make_config):
    with pytest.raises(StateError, match="holds no state of a run called 'tiny'"):
        run(make_config(resume="latest"))


def test_a_torn_state_is_refused_with_its_name(make_config, tmp_path):
    config = make_config(max_train_steps=2)
    run(config, stop_after=1)
    (tmp_path / "out" / "tiny-state" / "optimizer.pt").write_bytes(b"torn")
    with pytest.raises(StateError, match="tiny-state is damaged"):
        run(config.with_changes(resume="latest"))
