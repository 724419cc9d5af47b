"""Runs on data sets of several kinds: regularisation, masks, several parts from a file."""

import json
import math

import pytest
from PIL import Image
from safetensors import safe_open

from lora_widgets.events import Finished, Notice, StepDone
from lora_widgets.training import loop
from lora_widgets.training.start import iter_training

pytestmark = pytest.mark.any_libraries
LATENT_FACTOR = 8


@pytest.fixture
def watched(monkeypatch):
    """Collect the batches and what counts in them."""
    seen = []

    def emphasis_of(batch, *, prior_loss_weight):
        emphasis = loop_emphasis(batch, prior_loss_weight=prior_loss_weight)
        seen.append((batch, emphasis))
        return emphasis

    loop_emphasis = loop.emphasis_of
    monkeypatch.setattr(loop, "emphasis_of", emphasis_of)
    return seen


def losses(config):
    events = list(iter_training(config))
    assert isinstance(events[-1], Finished)
    return [event.loss for event in events if isinstance(event, StepDone)]


def draw(folder, *, count, size=(64, 64), mode="RGB"):
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new(mode, size, (40 * number, 9, 9, 128)[: len(mode)]).save(folder / f"{number}.png")
    return folder


def test_regularisation_pictures_are_shown_as_often_and_count_by_their_weight(make_config, tmp_path, watched):
    draw(tmp_path / "regular" / "1_thing", count=3)
    config = make_config(
        reg_data_dir=str(tmp_path / "regular"),
        prior_loss_weight=0.5,
        max_train_steps=0,
        max_train_epochs=1,
    )
    assert all(map(math.isfinite, losses(config)))
    is_reg = [one for batch, _ in watched for one in batch.is_reg]
    assert sum(is_reg) == len(is_reg) - sum(is_reg) == 16
    weights = [w for batch, emphasis in watched if any(batch.is_reg) for w in emphasis.weights.tolist()]
    assert set(weights) <= {0.5, 1.0}
    assert weights.count(0.5) == 16


@pytest.mark.parametrize("cached", [True, False])
def test_nothing_is_learned_from_black_masks(make_config, tmp_path, cached):
    masks = tmp_path / "masks"
    masks.mkdir()
    for number in range(8):
        Image.new("L", (64, 64), 0).save(masks / f"thing_{number}.png")
    assert losses(make_config(mask_data_dir=str(masks), cache_latents=cached)) == [0.0] * 4


def test_half_transparent_pictures_count_half(make_config, tmp_path):
    draw(tmp_path / "clear" / "1_thing", count=4, mode="RGBA")
    plain = losses(make_config(train_data_dir=str(tmp_path / "clear"), max_train_steps=1))
    masked = losses(
        make_config(
            train_data_dir=str(tmp_path / "clear"), max_train_steps=1, alpha_mask=True, output_name="masked"
        )
    )
    assert masked[0] == pytest.approx(plain[0] * 128 / 255, rel=1e-4)


def test_parts_of_a_file_have_their_own_size_and_batches(make_config, tmp_path, watched):
    draw(tmp_path / "small", count=5)
    draw(tmp_path / "large", count=3, size=(128, 128))
    (tmp_path / "set.toml").write_text(
        """
        [general]
        num_repeats = 1
        [[datasets]]
        resolution = 64
        batch_size = 2
        [[datasets.subsets]]
        image_dir = "small"
        class_tokens = "small thing"
        [[datasets]]
        resolution = 128
        max_bucket_reso = 128
        batch_size = 3
        [[datasets.subsets]]
        image_dir = "large"
        class_tokens = "large thing"
        """,
        encoding="utf-8",
    )
    config = make_config(
        dataset_config=str(tmp_path / "set.toml"), train_data_dir="", max_train_steps=0, max_train_epochs=1
    )
    assert len(losses(config)) == 4
    shapes = sorted((*batch.latents.shape[::3], *set(batch.captions)) for batch, _ in watched)
    small, large = 64 // LATENT_FACTOR, 128 // LATENT_FACTOR
    assert shapes == [
        (1, small, "small thing"),
        (2, small, "small thing"),
        (2, small, "small thing"),
        (3, large, "large thing"),
    ]


def test_a_file_says_of_each_part_of_a_dataset_file_what_it_was(make_config, tmp_path):
    draw(tmp_path / "small", count=5)
    draw(tmp_path / "large", count=3, size=(96, 64))
    (tmp_path / "small" / "0.txt").write_text("blue, wide", encoding="utf-8")
    (tmp_path / "set.toml").write_text(
        """
        [[datasets]]
        resolution = 64
        [[datasets.subsets]]
        image_dir = "small"
        num_repeats = 3
        keep_tokens = 2
        [[datasets.subsets]]
        image_dir = "large"
        class_tokens = "large thing"
        is_reg = true
        [[datasets]]
        resolution = 64
        enable_bucket = false
        batch_size = 2
        [[datasets.subsets]]
        image_dir = "large"
        """,
        encoding="utf-8",
    )
    config = make_config(dataset_config=str(tmp_path / "set.toml"), train_data_dir="", max_train_steps=1)
    list(iter_training(config))
    with safe_open(tmp_path / "out" / "tiny.safetensors", "pt") as file:
        first, second = json.loads(file.metadata()["ss_datasets"])
    assert (first["num_train_images"], first["num_reg_images"]) == (15, 15)
    assert (first["resolution"], first["batch_size_per_device"]) == ([64, 64], 4)
    assert first["tag_frequency"]["small"] == {"blue": 1, "wide": 1}
    small, regular = first["subsets"]
    assert (small["image_dir"], small["num_repeats"], small["img_count"]) == ("small", 3, 5)
    assert (small["keep_tokens"], small["is_reg"]) == (2, False)
    assert (regular["class_tokens"], regular["is_reg"]) == ("large thing", True)
    assert (second["enable_bucket"], second["min_bucket_reso"]) == (False, None)
    assert second["bucket_info"]["buckets"] == {"0": {"resolution": [64, 64], "count": 30}}


def test_what_the_scan_noted_is_told_when_the_run_starts(make_config, tmp_path):
    draw(tmp_path / "masks", count=0)
    events = list(iter_training(make_config(mask_data_dir=str(tmp_path / "masks"), max_train_steps=1)))
    assert any("mask" in event.message for event in events if isinstance(event, Notice))
