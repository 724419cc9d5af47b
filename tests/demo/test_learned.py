"""The base model follows captions it has never seen, and the demo teaches it something new."""

import os

import pytest

from lora_widgets.demo.config import demo_config
from lora_widgets.demo.evaluate import open_demo, score_base, score_lora
from lora_widgets.demo.paths import model_folder
from lora_widgets.events import Saved, StepDone
from lora_widgets.training.start import iter_training

MEGABYTES = 1_000_000


def test_the_shipped_model_is_small():
    assert sum(p.stat().st_size for p in model_folder().rglob("*") if p.is_file()) <= 25 * MEGABYTES


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("LORA_WIDGETS_EVERY_CELL"),
    reason="200 pictures take a minute; 32 of them are judged below; LORA_WIDGETS_EVERY_CELL=1 draws all",
)
def test_of_200_captions_held_out_of_pretraining_as_many_are_followed_as_the_readme_says():
    scores = score_base(open_demo(demo_config()))
    assert scores.scene == 1.0
    assert scores.shape >= 0.985


@pytest.fixture(scope="module")
def demo_scores(tmp_path_factory):
    """Train the demo once; return its losses and its scores before and after."""
    config = demo_config(output_dir=str(tmp_path_factory.mktemp("demo")), sample_every_n_steps=0)
    events = list(iter_training(config))
    losses = [e.loss for e in events if isinstance(e, StepDone)]
    saved = [e.path for e in events if isinstance(e, Saved) and e.kind == "weights"]
    return losses, score_lora(config, saved[-1], count=32)


@pytest.mark.slow
def test_the_base_model_follows_captions_held_out_of_pretraining(demo_scores):
    _, scores = demo_scores
    assert scores["colour, background, place"][0] >= 0.9
    assert scores["shape"][0] >= 0.8


@pytest.mark.slow
def test_the_demo_teaches_the_new_subject(demo_scores):
    losses, scores = demo_scores
    assert sum(losses[-40:]) < sum(losses[:40])
    before, after = scores["subject with its trigger"]
    assert before <= 0.05
    assert after >= 0.8
    assert scores["subject without it"][1] <= 0.05


@pytest.mark.slow
def test_the_demo_leaves_the_rest_as_it_was(demo_scores):
    _, scores = demo_scores
    for name in ("colour, background, place", "shape"):
        before, after = scores[name]
        assert after >= 0.8 * before
