"""Tests of lora_widgets/widgets/start_note.py."""

import html

import pytest

from lora_widgets.config.facts import DatasetFacts
from lora_widgets.config.findings import Facts, check
from lora_widgets.demo.config import demo_config
from lora_widgets.widgets.start_note import (
    ended_badly_html,
    ready_html,
    refused_html,
    running_html,
    what_runs_html,
)

FACTS = Facts(dataset=DatasetFacts(16, (160,)))


def draft(**changes):
    return check({**dict(demo_config(output_dir="out")), **changes}, FACTS)


def test_it_says_what_start_would_do():
    text = ready_html(draft(), images=16)
    for part in ("240 steps", "16 pictures", "LoRA for SD1.5", "<b>demo</b>", "out/zibbo.safetensors"):
        assert part in text


def test_it_says_that_start_would_refuse():
    assert "1 error to settle first" in ready_html(draft(unet_lr="fast"), images=16)


def test_a_refusal_names_the_settings():
    text = refused_html(draft(unet_lr="fast", train_batch_size=0).errors)
    assert "Not started" in text
    assert "Dataset: Batch size" in text
    assert "Learning Rate: " in text


def test_a_running_training_leaves_the_form_for_the_next_run():
    assert "next run" in running_html("x", is_started=True)
    assert "next run" not in running_html("x", is_started=False)


def test_what_differs_from_the_defaults_is_listed_with_the_default():
    text = what_runs_html(draft(train_batch_size=3), images=16)
    assert "Dataset: Batch size (pictures)</th><td>3</td><td>4</td>" in text
    assert "settings other than the defaults" in text


def test_secrets_are_masked():
    text = what_runs_html(draft(wandb_key="very-secret"), images=16)
    assert "very-secret" not in text
    assert "•" in text


@pytest.mark.parametrize("name", ["output_dir", "pretrained_model_name_or_path", "sample_prompts"])
def test_nothing_from_a_user_becomes_markup(name):
    nasty = "<script>alert(1)</script>" + "x" * 5000
    text = what_runs_html(draft(**{name: nasty}), images=None)
    assert "<script>" not in text
    assert html.escape("<script>") in text
    assert len(text) < 12_000


def test_the_reason_of_a_failure_is_escaped():
    assert "<img" not in ended_badly_html("<img src=x>")
