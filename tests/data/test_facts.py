import subprocess
import sys

import pytest

from lora_widgets.data.facts import facts_for
from lora_widgets.errors import DatasetError


def test_facts_count_pictures_buckets_captions_and_skipped_files(tmp_path, make_picture, make_settings):
    make_picture(tmp_path / "3_" / "a.png", (64, 64), caption="cat")
    make_picture(tmp_path / "3_" / "b.png", (100, 50))
    make_picture(tmp_path / "2_dog" / "c.png", (65, 64), caption="dog")
    (tmp_path / "2_dog" / "empty.png").touch()
    found = facts_for(make_settings(train_data_dir=str(tmp_path)))
    assert found.facts.images == 3
    assert found.facts.bucket_counts == (5, 3)
    assert found.facts.without_caption == 1
    assert [sentence.split(":")[0] for sentence in found.facts.skipped] == ["empty.png"]
    assert len(found.scan.images) == len(found.plan.placements) == 3


def test_pictures_too_small_for_a_bucket_are_among_the_skipped(tmp_path, make_picture, make_settings):
    make_picture(tmp_path / "a.png", (64, 64))
    make_picture(tmp_path / "small.png", (10, 64))
    settings = make_settings(train_data_dir=str(tmp_path), bucket_no_upscale=True)
    found = facts_for(settings)
    assert [image.path.name for image in found.scan.images] == ["a.png"]
    assert "small.png: it is 10x64" in found.facts.skipped[0]
    (tmp_path / "a.png").unlink()
    with pytest.raises(DatasetError, match=r"No picture can be used: small\.png"):
        facts_for(settings)


def test_counting_pictures_does_not_import_torch():
    modules = ["scan", "buckets", "captions", "order", "randomness", "facts"]
    code = "import sys; " + "; ".join(f"import lora_widgets.data.{name}" for name in modules)
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)"], check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr
