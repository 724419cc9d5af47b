"""A folder of small pictures in three shapes, and its configuration, for the tests of the dry run."""

import numpy
from PIL import Image

from lora_widgets.config.training_config import TrainingConfig

SIZES = ((256, 256), (256, 256), (320, 192), (400, 240), (240, 400))


def draw(path, size=(256, 256), *, caption=None, seed=None, **options):
    """Write a picture of 8x8 fields whose colours depend on its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = numpy.random.default_rng(sum(path.name.encode()) if seed is None else seed)
    fields = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=numpy.uint8))
    fields.resize(size, Image.Resampling.NEAREST).save(path, **options)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def make_folder(folder):
    """Write eleven pictures into two numbered folders; the last has no caption."""
    for number in range(10):
        part = "3_cat" if number < 6 else "1_dog"
        size = SIZES[number % len(SIZES)]
        draw(folder / part / f"{number}.png", size, caption=f"n{number}, a, b, c, {{d|e}}\nsecond, line")
    draw(folder / "1_dog" / "plain.png")
    return folder


def settings_for(folder, **changes):
    """Return a configuration for the folder; its base model is nowhere, so that its tokens are not known."""
    base = {
        "project_name": "zork",
        "model_type": "SD1.5",
        "pretrained_model_name_or_path": str(folder / "no model"),
        "train_data_dir": str(folder),
        "output_dir": str(folder.parent / "out"),
        "resolution": 256,
        "min_bucket_reso": 64,
        "max_bucket_reso": 512,
        "train_batch_size": 2,
        "max_train_epochs": 5,
        "shuffle_caption": False,
    }
    return TrainingConfig(**{**base, **changes})
