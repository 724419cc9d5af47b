"""The captions of the dry run are those of training, not examples."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from preview_folder import make_folder, settings_for

from lora_widgets.config.findings import Facts, check
from lora_widgets.data.dataset import Dataset
from lora_widgets.data.facts import facts_for
from lora_widgets.data.showing import CaptionDraws
from lora_widgets.preview.batches import bucket_rows
from lora_widgets.preview.dry_run import dry_run
from lora_widgets.preview.showings import EPOCHS_SHOWN, captions_of, first_places
from lora_widgets.training.loop import micro_steps

LIVELY = {
    "shuffle_caption": True,
    "keep_tokens": 1,
    "enable_wildcard": True,
    "caption_dropout_rate": 0.3,
    "caption_tag_dropout_rate": 0.2,
    "caption_dropout_every_n_epochs": 3,
}


class Nothing:
    """Latents for who wants none: no picture has to be opened."""

    def __getitem__(self, key):
        return torch.zeros(1)


def trained(config, found, total_micro_steps, variants=None):
    """The caption of each picture's first showing in each epoch, as training batches have it."""
    dataset = Dataset(found.scan.images, found.plan, found.scan.parts, seed=config.seed)
    dataset.use_latents(Nothing())
    if variants:
        dataset.use_caption_variants(variants)
    captions = {}
    for index in range(min(total_micro_steps, EPOCHS_SHOWN * dataset.batches_per_epoch)):
        epoch = index // dataset.batches_per_epoch + 1
        batch = dataset.batch_at(index)
        for image, caption in zip(batch.images, batch.captions, strict=True):
            captions.setdefault((image, epoch), caption)
    return captions


def previewed(config, found, variants=None):
    steps = check(config, Facts(dataset=found.facts)).steps
    captions = {}
    for number, places in enumerate(first_places(found, config, steps)):
        for shown in captions_of(found.scan.images[number], places, CaptionDraws(config.seed, variants)):
            captions.update({(number, epoch): shown.caption for epoch in shown.epochs})
    return captions


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_captions_are_those_of_the_batches(make_config_once, seed):
    config = make_config_once(seed=seed, **LIVELY)
    found = facts_for(config)
    assert previewed(config, found) == trained(config, found, 10_000)


def test_captions_among_cached_variants_are_those_of_the_batches(make_config):
    config = make_config(**LIVELY, text_cache_variants=2)
    found = facts_for(config)
    assert previewed(config, found, variants=2) == trained(config, found, 10_000, variants=2)


def test_a_cached_text_encoder_gets_variants(make_config):
    changes = {**LIVELY, "caption_dropout_rate": 0, "caption_dropout_every_n_epochs": 0}
    cached = dry_run(
        make_config(**changes, text_cache_variants=1, cache_text_encoder_outputs=True, text_encoder_lr=0)
    )
    assert all(len(card.captions) == 1 for card in cached.cards)
    assert any(len(card.captions) > 1 for card in dry_run(make_config(**changes)).cards)


@pytest.fixture(scope="module")
def make_config_once(tmp_path_factory):
    """hypothesis wants fixtures that outlive its examples."""
    folder = make_folder(tmp_path_factory.mktemp("once"))
    return lambda **changes: settings_for(folder, **changes)


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("total", [1, 2, 5, 9])
def test_a_run_that_ends_early_shows_no_more(make_config, total, accumulation):
    config = make_config(
        max_train_steps=total, max_train_epochs=0, gradient_accumulation_steps=accumulation, **LIVELY
    )
    found = facts_for(config)
    steps = check(config, Facts(dataset=found.facts)).steps
    job = SimpleNamespace(plan=SimpleNamespace(steps=steps, config=config))
    assert previewed(config, found) == trained(config, found, micro_steps(job, total - 1).stop)


def test_filled_batches_show_pictures_once_more(make_config):
    run = dry_run(make_config(partial_batches="repeat", train_batch_size=4))
    assert all(row.shown == row.batches * 4 and row.last_batch == 0 for row in run.buckets)
    assert sum(row.shown for row in run.buckets) == run.steps.images
    assert previewed(run.config, run.found) == trained(run.config, run.found, 10_000)


def test_equal_captions_stand_together(make_config):
    run = dry_run(make_config())
    assert {tuple(s.epochs for s in card.captions) for card in run.cards} == {((1, 2, 3),)}


def test_buckets_add_up_to_the_steps(make_config):
    run = dry_run(make_config())
    assert sum(row.batches for row in run.buckets) == run.steps.batches_per_epoch
    assert tuple(row.shown for row in run.buckets) == run.found.facts.bucket_counts
    assert sum(row.pictures for row in run.buckets) == len(run.cards) == 11
    for row in bucket_rows(run.found):
        assert row.last_batch == row.shown % 2
