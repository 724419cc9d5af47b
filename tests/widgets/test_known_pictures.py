"""Tests of lora_widgets/widgets/known_pictures.py."""

import pytest
from PIL import Image

from lora_widgets.data.facts import facts_for
from lora_widgets.demo.config import demo_config
from lora_widgets.widgets import known_pictures
from lora_widgets.widgets.known_pictures import SCAN_SETTINGS, KnownPictures


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        path = tmp_path / "pictures" / "2_cat" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 80)).save(path)
    return tmp_path / "pictures"


@pytest.fixture
def config(folder):
    return demo_config(train_data_dir=str(folder), output_dir="x")


@pytest.fixture
def scans(monkeypatch):
    made, real = [], known_pictures.scan
    monkeypatch.setattr(known_pictures, "scan", lambda settings: made.append(1) or real(settings))
    return made


@pytest.mark.parametrize(
    "changes",
    [
        {"resolution": 128, "max_bucket_reso": 256},
        {"train_batch_size": 2, "partial_batches": "merge"},
        {"enable_bucket": False},
        {"caption_prefix": "a photo of"},
        {"unet_lr": 1e-5},
    ],
)
def test_settings_that_only_place_the_pictures_cost_no_scan(config, scans, changes):
    known = KnownPictures()
    known.find(config)
    changed = config.with_changes(**changes)
    found = known.find(changed)
    assert len(scans) == 1
    assert found.facts == facts_for(changed).facts
    assert found.plan == facts_for(changed).plan
    assert {image.subset.settings.caption_prefix for image in found.scan.images} == {changed.caption_prefix}


def test_other_settings_of_the_files_cost_one(config, scans):
    known = KnownPictures()
    known.find(config)
    found = known.find(config.with_changes(caption_extension=".cap"))
    assert len(scans) == 2
    assert found.facts.images == 3


def test_after_forgetting_new_files_are_seen(config, folder, scans):
    known = KnownPictures()
    known.find(config)
    Image.new("RGB", (64, 64)).save(folder / "2_cat" / "new.png")
    assert known.find(config).facts.images == 3
    known.forget()
    assert known.find(config).facts.images == 4


def test_the_settings_of_a_scan_are_settings(config):
    assert all(hasattr(config, name) for name in SCAN_SETTINGS)
