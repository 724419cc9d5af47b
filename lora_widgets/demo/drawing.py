"""Turn a scene into a crisp 64 px picture: polygons drawn four times larger, then reduced."""

import math
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw

from lora_widgets.demo.pictures import RGB, Creature, Scene, Thing

SIZE = 64
"""Edge of a finished picture in pixels."""
ZOOM = 4
"""Drawing is done this many times larger; the box filter of `reduce` then smooths the edges."""
INK: RGB = (30, 28, 36)
PAPER: RGB = (255, 255, 255)

Point = tuple[float, float]


def draw(scene: Scene) -> Image.Image:
    """Return the scene as an RGB picture of 64 x 64 pixels."""
    canvas = blank(scene.background)
    for thing in scene.things:
        if thing.creature:
            _draw_creature(canvas, thing, thing.creature)
        else:
            _draw_shape(canvas, thing, scene.background)
    return canvas.reduce(ZOOM)


def blank(colour: RGB) -> Image.Image:
    """Return an empty canvas, `ZOOM` times the finished size."""
    return Image.new("RGB", (SIZE * ZOOM, SIZE * ZOOM), colour)


def outline(kind: str) -> list[Point]:
    """Return a shape's outline in a box of -1..1, y downwards."""
    return _OUTLINES[kind]()


def place(points: Sequence[Point], centre: Point, radius: float) -> list[Point]:
    """Move and scale an outline to canvas pixels; centre and radius are in pixels of the finished picture."""
    return [((centre[0] + x * radius) * ZOOM, (centre[1] + y * radius) * ZOOM) for x, y in points]


def darker(colour: RGB) -> RGB:
    """Return the colour for a shape's rim."""
    return (int(colour[0] * 0.66), int(colour[1] * 0.66), int(colour[2] * 0.66))


def ellipse(canvas: Image.Image, centre: Point, radii: Point, fill: RGB, *, rim: RGB | None = None) -> None:
    """Draw an ellipse; all lengths in pixels of the finished picture."""
    (x, y), (rx, ry) = centre, radii
    box = [(x - rx) * ZOOM, (y - ry) * ZOOM, (x + rx) * ZOOM, (y + ry) * ZOOM]
    ImageDraw.Draw(canvas).ellipse(box, fill=fill, outline=rim, width=ZOOM if rim else 0)


def polygon(canvas: Image.Image, points: Sequence[Point], fill: RGB, *, rim: RGB) -> None:
    """Draw a filled polygon (canvas pixels) with a rim of one finished pixel."""
    pen = ImageDraw.Draw(canvas)
    pen.polygon(points, fill=fill)
    pen.line([*points, points[0]], fill=rim, width=ZOOM, joint="curve")


def eye(canvas: Image.Image, centre: Point, radius: float) -> None:
    """Draw one round eye looking ahead."""
    ellipse(canvas, centre, (radius, radius), PAPER, rim=INK)
    ellipse(canvas, centre, (radius * 0.5, radius * 0.5), INK)


def mouth(canvas: Image.Image, centre: Point, width: float, kind: str) -> None:
    """Draw a mouth: "smile", "open" or "flat"."""
    (x, y), half = centre, width / 2
    pen = ImageDraw.Draw(canvas)
    if kind == "open":
        ellipse(canvas, centre, (half * 0.7, half * 0.7), INK)
    elif kind == "flat":
        pen.line([(x - half) * ZOOM, y * ZOOM, (x + half) * ZOOM, y * ZOOM], fill=INK, width=ZOOM)
    else:
        box = [(x - half) * ZOOM, (y - half) * ZOOM, (x + half) * ZOOM, (y + half) * ZOOM]
        pen.arc(box, 20, 160, fill=INK, width=int(ZOOM * 1.25))


def patterned(size: tuple[int, int], thing: Thing) -> Image.Image:
    """Return the paint of a thing: its colour, with stripes, spots or a second half in the accent colour."""
    paint = Image.new("RGB", size, thing.colour)
    pen, (width, height) = ImageDraw.Draw(paint), size
    if thing.pattern == "striped":
        for y in range(0, height, 6 * ZOOM):
            pen.rectangle([0, y, width, y + 3 * ZOOM - 1], fill=PAPER)
    elif thing.pattern == "spotted":
        for row, y in enumerate(range(0, height, 6 * ZOOM)):
            for x in range(3 * ZOOM * (row % 2), width, 6 * ZOOM):
                pen.ellipse([x, y, x + 3 * ZOOM, y + 3 * ZOOM], fill=PAPER)
    elif thing.pattern == "two-tone":
        pen.rectangle([0, thing.centre[1] * ZOOM, width, height], fill=thing.accent)
    return paint


def _draw_shape(canvas: Image.Image, thing: Thing, background: RGB) -> None:
    points = place(outline(thing.kind), thing.centre, thing.radius)
    _fill(canvas, points, thing)
    if thing.kind == "ring":
        hole = place(outline("circle"), thing.centre, thing.radius * 0.52)
        polygon(canvas, hole, background, rim=darker(thing.colour))
    if thing.pattern == "smiling" and thing.kind not in ("ring", "moon"):
        (x, y), r = thing.centre, thing.radius
        for side in (-1, 1):
            ellipse(canvas, (x + side * 0.28 * r, y - 0.12 * r), (0.11 * r, 0.15 * r), INK)
        mouth(canvas, (x, y + 0.12 * r), 0.5 * r, "smile")


def _fill(canvas: Image.Image, points: Sequence[Point], thing: Thing) -> None:
    mask = Image.new("L", canvas.size, 0)
    ImageDraw.Draw(mask).polygon(points, fill=255)
    canvas.paste(patterned(canvas.size, thing), mask=mask)
    ImageDraw.Draw(canvas).line(
        [*points, points[0], points[1]], fill=darker(thing.colour), width=ZOOM, joint="curve"
    )


def _draw_creature(canvas: Image.Image, thing: Thing, creature: Creature) -> None:
    (x, y), r, rim = thing.centre, thing.radius, darker(thing.colour)
    _draw_ears(canvas, thing, creature.ears)
    if creature.feet:
        for side in (-1, 1):
            ellipse(canvas, (x + side * 0.42 * r, y + 0.92 * r), (0.3 * r, 0.16 * r), thing.accent, rim=rim)
    if creature.arms:
        for side in (-1, 1):
            ellipse(canvas, (x + side * 0.86 * r, y + 0.2 * r), (0.22 * r, 0.13 * r), thing.colour, rim=rim)
    _fill(canvas, place(outline(creature.body), (x, y + 0.08 * r), r * 0.86), thing)
    if creature.belly:
        ellipse(canvas, (x, y + 0.5 * r), (0.4 * r, 0.3 * r), thing.accent)
    spread = {1: (0.0,), 2: (-0.3, 0.3), 3: (-0.46, 0.0, 0.46)}[creature.eyes]
    for offset in spread:
        eye(canvas, (x + offset * r, y - 0.22 * r), {1: 0.3, 2: 0.21, 3: 0.19}[creature.eyes] * r)
    mouth(canvas, (x, y + 0.16 * r), 0.5 * r, creature.mouth)


def _draw_ears(canvas: Image.Image, thing: Thing, ears: str) -> None:
    (x, y), r, rim = thing.centre, thing.radius, darker(thing.colour)
    for side in (-1, 1):
        if ears == "pointed":
            ear = [(side * 0.78, -0.3), (side * 0.66, -1.0), (side * 0.15, -0.7)]
            polygon(canvas, place(ear, (x, y), r), thing.colour, rim=rim)
        elif ears == "round":
            ellipse(canvas, (x + side * 0.55 * r, y - 0.68 * r), (0.28 * r, 0.28 * r), thing.accent, rim=rim)
        elif ears == "long":
            ellipse(canvas, (x + side * 0.34 * r, y - 0.8 * r), (0.16 * r, 0.42 * r), thing.colour, rim=rim)


def mask_of(points: Sequence[Point]) -> Image.Image:
    """Return the area of a polygon (canvas pixels) as a finished 64 px grey picture."""
    mask = Image.new("L", (SIZE * ZOOM, SIZE * ZOOM), 0)
    ImageDraw.Draw(mask).polygon(points, fill=255)
    return mask.reduce(ZOOM)


def shape_mask(kind: str, centre: Point, radius: float) -> Image.Image:
    """Return the area a plain shape covers, as a 64 px grey picture."""
    mask = mask_of(place(outline(kind), centre, radius))
    if kind == "ring":
        mask = ImageChops.subtract(mask, mask_of(place(outline("circle"), centre, radius * 0.52)))
    return mask


def _circle(steps: int = 72) -> list[Point]:
    return [(math.cos(a), math.sin(a)) for a in _angles(steps)]


def _angles(steps: int) -> list[float]:
    return [2 * math.pi * i / steps for i in range(steps)]


def _regular(corners: int) -> list[Point]:
    return [(math.sin(a), -math.cos(a)) for a in _angles(corners)]


def _star() -> list[Point]:
    radii = [1.08, 0.46] * 5
    return [(r * math.sin(a), -r * math.cos(a)) for r, a in zip(radii, _angles(10), strict=True)]


def _heart() -> list[Point]:
    def at(a: float) -> Point:
        x = 16 * math.sin(a) ** 3
        y = 13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)
        return (x / 16.5, -(y + 2.5) / 15)

    return [at(a) for a in _angles(72)]


def _cross() -> list[Point]:
    a, b = 0.36, 0.98
    arm = [(-a, -a), (-a, -b), (a, -b)]
    return [_turned(point, quarters) for quarters in range(4) for point in arm]


def _turned(point: Point, quarters: int) -> Point:
    x, y = point
    for _ in range(quarters):
        x, y = -y, x
    return (x, y)


def _moon() -> list[Point]:
    outer = [(math.cos(a), math.sin(a)) for a in (math.radians(d) for d in range(55, 306, 5))]
    inner = [
        (0.5 + 0.82 * math.cos(a), 0.82 * math.sin(a)) for a in (math.radians(d) for d in range(270, 89, -5))
    ]
    return [(x + 0.2, y) for x, y in outer + inner]


def _flower() -> list[Point]:
    radii = [0.84 + 0.2 * math.cos(5 * a) for a in _angles(120)]
    return [(r * math.sin(a), -r * math.cos(a)) for r, a in zip(radii, _angles(120), strict=True)]


def _superellipse(power: float, width: float, height: float) -> list[Point]:
    def bent(v: float) -> float:
        return math.copysign(abs(v) ** (2 / power), v)

    return [(width * bent(math.cos(a)), height * bent(math.sin(a))) for a in _angles(72)]


def _pear() -> list[Point]:
    return [(math.cos(a) * (0.78 + 0.2 * math.sin(a)), math.sin(a)) for a in _angles(72)]


def _triangle() -> list[Point]:
    return [(x * 1.12, y * 1.12 + 0.2) for x, y in _regular(3)]


_OUTLINES = {
    "circle": _circle,
    "square": lambda: [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "diamond": lambda: [(0, -1.1), (0.8, 0), (0, 1.1), (-0.8, 0)],
    "ring": _circle,
    "cross": _cross,
    "moon": _moon,
    "flower": _flower,
    "round": _circle,
    "egg": lambda: _superellipse(2.0, 0.82, 1.04),
    "boxy": lambda: _superellipse(4.0, 0.92, 0.92),
    "pear": _pear,
}
