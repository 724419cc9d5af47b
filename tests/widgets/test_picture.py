"""Tests of lora_widgets/widgets/picture.py."""

import io
import math
import subprocess
import sys

import pytest
from events import step_done
from PIL import Image

from lora_widgets.widgets.picture import loss_picture, write_loss_picture


@pytest.mark.parametrize(
    "history",
    [
        [],
        [step_done(1)],
        [step_done(1, loss=math.nan)],
        [step_done(i, loss=0.5) for i in range(1, 4)],
        [step_done(i, loss=math.inf if i % 3 else 0.1) for i in range(1, 2000)],
    ],
    ids=["empty", "one step", "only NaN", "constant", "many with inf"],
)
def test_any_history_makes_a_picture(history):
    with Image.open(io.BytesIO(loss_picture(history, title="zork $x^2"))) as picture:
        assert picture.format == "PNG"
        assert picture.width > 600


def test_the_course_of_the_loss_is_in_the_picture():
    falling = [step_done(i, loss=1 / i) for i in range(1, 50)]
    rising = [step_done(i, loss=i / 50) for i in range(1, 50)]
    assert loss_picture(falling, title="") != loss_picture(rising, title="")


def test_the_file_is_whole_and_alone(tmp_path):
    target = write_loss_picture([step_done(1), step_done(2)], tmp_path / "new" / "loss.png")
    with Image.open(target) as picture:
        picture.load()
    assert list(target.parent.iterdir()) == [target]


def test_pyplot_is_not_touched():
    code = "import sys; import lora_widgets.widgets.picture; print('matplotlib.pyplot' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
