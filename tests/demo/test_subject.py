"""The new subject is recognised when it is there, and only then."""

import random

import pytest
from PIL import Image

from lora_widgets.data.scan import scan
from lora_widgets.demo.config import demo_config
from lora_widgets.demo.drawing import draw
from lora_widgets.demo.paths import dataset_folder
from lora_widgets.demo.pictures import random_scene
from lora_widgets.demo.subject import NUM_PICTURES, draw_subject, is_subject, poses, write_dataset


def test_drawn_subjects_are_recognised():
    rng = random.Random(0)
    assert all(is_subject(draw_subject(pose, rng)) for pose in poses(30, seed=1) * 2)


def test_no_scene_of_pretraining_passes_for_the_subject():
    rng = random.Random(0)
    assert not any(is_subject(draw(random_scene(rng))) for _ in range(500))


def test_the_shipped_pictures_are_those_the_script_draws(tmp_path):
    write_dataset(tmp_path)
    shipped = sorted(dataset_folder().rglob("*.png"))
    again = sorted(tmp_path.rglob("*.png"))
    assert [p.name for p in shipped] == [p.name for p in again]
    assert len(shipped) == NUM_PICTURES
    for one, other in zip(shipped, again, strict=True):
        assert Image.open(one).tobytes() == Image.open(other).tobytes()
        assert one.with_suffix(".txt").read_text("utf-8") == other.with_suffix(".txt").read_text("utf-8")


def test_the_shipped_pictures_are_found_with_captions_and_repeats():
    found = scan(demo_config())
    assert len(found.images) == NUM_PICTURES
    assert found.without_caption == 0
    assert {image.repeats for image in found.images} == {10}
    assert not found.skipped


@pytest.mark.parametrize("change", [{"train_batch_size": 2}, {"seed": 3}])
def test_the_demo_configuration_takes_changes(change):
    assert demo_config(**change).changed().items() >= change.items()
