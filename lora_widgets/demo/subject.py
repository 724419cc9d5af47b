"""The demo's new subject, a zibbo: how it is drawn, and the rule by which a picture of one is recognised.

Pre-training shows no antennae, and no creature in three colours; so what a LoRA draws of it was learned.
`python -m lora_widgets.demo.subject` writes the training pictures again.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lora_widgets.demo.drawing import ZOOM, blank, darker, ellipse, eye, mouth, outline, place, polygon
from lora_widgets.demo.measure import nearest_names
from lora_widgets.demo.paths import dataset_folder
from lora_widgets.demo.pictures import BACKGROUNDS, COLOURS, PLACES, SIZES

TRIGGER = "zibbo"
CLASS = "creature"
BODY, BELLY, TIPS = "purple", "yellow", "green"
NUM_PICTURES = 16
_KNOWN = COLOURS | BACKGROUNDS | {"ink": (30, 28, 36)}
"""The colours of things, of backgrounds, and of eyes and mouths."""


@dataclass(frozen=True)
class Pose:
    """Where one zibbo stands, and before what. All are big: fewer pixels cannot hold its three colours."""

    place: str
    background: str

    @property
    def caption(self) -> str:
        """What its caption file says."""
        return f"a big {TRIGGER} {CLASS} {self.place}, {self.background} background"


def draw_subject(pose: Pose, rng: random.Random) -> Image.Image:
    """Return a 64 px picture of a zibbo; the rng moves it by a pixel or so."""
    x, y = (c + rng.uniform(-1.5, 1.5) for c in PLACES[pose.place])
    r, rim = SIZES["big"] * 1.05, darker(COLOURS[BODY])
    tips, canvas = COLOURS[TIPS], blank(BACKGROUNDS[pose.background])
    pen = ImageDraw.Draw(canvas)
    for side in (-1, 1):
        foot, tip = (x + side * 0.4 * r, y + 0.92 * r), (x + side * 0.62 * r, y - 0.86 * r)
        stalk = [((x + side * 0.2 * r) * ZOOM, (y - 0.3 * r) * ZOOM), (tip[0] * ZOOM, tip[1] * ZOOM)]
        pen.line(stalk, fill=rim, width=int(1.5 * ZOOM))
        ellipse(canvas, tip, (0.22 * r, 0.22 * r), tips)
        ellipse(canvas, foot, (0.3 * r, 0.16 * r), tips, rim=darker(tips))
    polygon(canvas, place(outline("egg"), (x, y + 0.16 * r), r * 0.82), COLOURS[BODY], rim=rim)
    ellipse(canvas, (x, y + 0.5 * r), (0.44 * r, 0.34 * r), COLOURS[BELLY])
    for side in (-1, 1):
        eye(canvas, (x + side * 0.28 * r, y - 0.16 * r), 0.23 * r)
    mouth(canvas, (x, y + 0.5 * r), 0.4 * r, "smile")
    return canvas.reduce(ZOOM)


def poses(count: int, seed: int) -> list[Pose]:
    """Return ``count`` different poses, at most 30, in which places and backgrounds are evenly mixed."""
    rng = random.Random(f"{seed} poses")
    every = [Pose(place, background) for place in PLACES for background in BACKGROUNDS]
    rng.shuffle(every)
    chosen: list[Pose] = []
    while len(chosen) < count:
        uses = [sum((p.place == q.place) + (p.background == q.background) for q in chosen) for p in every]
        chosen.append(every.pop(uses.index(min(uses))))
    return chosen


def is_subject(picture: Image.Image) -> bool:
    """Whether a picture shows a zibbo, by its pixels alone.

    Every pixel is given its nearest known colour. A zibbo has a purple body of 2 % to 40 % of the picture, a
    yellow belly of at least 4 % of the body inside the body's box, and green tips of antennae: at least 2 %
    of the body, above the middle of the body.
    """
    names = nearest_names(np.asarray(picture.convert("RGB"), dtype=np.float32), _KNOWN)
    body, belly, tips = names == BODY, names == BELLY, names == TIPS
    if not 0.02 <= body.mean() <= 0.40:
        return False
    rows, columns = np.nonzero(body)
    (top, bottom), (left, right) = np.percentile(rows, (2, 98)), np.percentile(columns, (2, 98))
    inside = belly[int(top) : int(bottom) + 1, int(left) : int(right) + 1].sum()
    above = tips[: int((top + bottom) / 2)].sum()
    return bool(inside >= 0.04 * body.sum() and above >= 0.02 * body.sum())


def write_dataset(folder: Path) -> None:
    """Write the training pictures and their captions as ``folder/10_zibbo creature/``."""
    subset = folder / f"10_{TRIGGER} {CLASS}"
    subset.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"{TRIGGER} pictures")
    for number, pose in enumerate(poses(NUM_PICTURES, seed=3), start=1):
        draw_subject(pose, rng).save(subset / f"{TRIGGER}-{number:02d}.png", optimize=True)
        (subset / f"{TRIGGER}-{number:02d}.txt").write_text(pose.caption + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_dataset(dataset_folder())
