"""Random captioned scenes: what the demo base model was taught, and how they are worded.

A scene is a plain value; `draw` (in `drawing.py`) turns it into a picture, `caption_of` into words.
Everything takes an explicit rng, so the whole training set of the base model is a function of one seed.
"""

import random
from dataclasses import dataclass, replace
from typing import Literal

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (220, 52, 48),
    "orange": (245, 138, 36),
    "yellow": (250, 214, 60),
    "green": (58, 160, 72),
    "blue": (46, 98, 214),
    "purple": (132, 66, 186),
    "pink": (246, 128, 182),
    "brown": (128, 82, 50),
}
BACKGROUNDS: dict[str, RGB] = {
    "white": (250, 250, 248),
    "gray": (176, 179, 186),
    "sky": (160, 214, 246),
    "mint": (178, 234, 194),
    "peach": (255, 212, 180),
    "navy": (26, 34, 66),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "ring", "cross", "moon", "flower")
SIZES: dict[str, float] = {"small": 9.5, "medium": 13.0, "big": 16.5}
"""Word to radius in pixels of a 64 px picture."""
PLACES: dict[str, tuple[float, float]] = {
    "in the middle": (32.0, 32.0),
    "on the left": (19.0, 32.0),
    "on the right": (45.0, 32.0),
    "at the top": (32.0, 19.0),
    "at the bottom": (32.0, 45.0),
}
PATTERNS = ("plain", "striped", "spotted", "two-tone", "smiling")
BODIES = ("round", "egg", "boxy", "pear")
EARS = ("no", "pointed", "round", "long")

Pattern = Literal["plain", "striped", "spotted", "two-tone", "smiling"]


@dataclass(frozen=True)
class Creature:
    """The parts of a composed animal; none of them is unique to one colour or place."""

    body: str
    ears: str
    eyes: int
    mouth: str
    belly: bool
    feet: bool
    arms: bool


@dataclass(frozen=True)
class Thing:
    """One object of a scene: what it is, how it looks and where it stands (pixels of a 64 px picture)."""

    kind: str
    colour: RGB
    accent: RGB
    size: str
    radius: float
    centre: tuple[float, float]
    pattern: Pattern
    colour_name: str | None
    accent_name: str | None
    place: str | None
    creature: Creature | None = None


@dataclass(frozen=True)
class Scene:
    """Objects from back to front before a plain background."""

    things: tuple[Thing, ...]
    background: RGB
    background_name: str | None
    relation: str | None = None

    @property
    def is_plain_shape(self) -> bool:
        """Whether this is one shape in one colour, as the held-out captions ask for."""
        first = self.things[0]
        return len(self.things) == 1 and first.kind in SHAPES and first.pattern == "plain"


@dataclass(frozen=True)
class Wish:
    """One simple caption's content: what the held-out test asks for."""

    shape: str
    colour: str
    size: str
    place: str
    background: str

    @property
    def caption(self) -> str:
        """The words the base model was taught for this content."""
        words = [] if self.size == "medium" else [self.size]
        thing = with_article([*words, self.colour, self.shape])
        return f"{thing} {self.place}, {self.background} background"


def held_out(wish: Wish) -> bool:
    """Whether this combination is kept from pre-training (about one in twenty), to ask for it later."""
    digits = (
        SHAPES.index(wish.shape),
        list(COLOURS).index(wish.colour),
        list(SIZES).index(wish.size),
        list(PLACES).index(wish.place),
        list(BACKGROUNDS).index(wish.background),
    )
    return sum(d * w for d, w in zip(digits, (7, 3, 11, 5, 13), strict=True)) % 19 == 0


def held_out_wishes(count: int, seed: int) -> list[Wish]:
    """Return ``count`` different combinations that pre-training never showed."""
    rng = random.Random(seed)
    wishes: dict[Wish, None] = {}
    while len(wishes) < count:
        wish = Wish(*(rng.choice(list(options)) for options in (SHAPES, COLOURS, SIZES, PLACES, BACKGROUNDS)))
        if held_out(wish):
            wishes[wish] = None
    return list(wishes)


def random_scene(rng: random.Random) -> Scene:
    """Draw one scene: mostly single shapes, then creatures, pairs of shapes, and colours without a name."""
    draw = rng.random()
    if draw < 0.55:
        scene = _single(_shape(rng), rng)
        while held_out(_wish(scene)):
            scene = _single(_shape(rng), rng)
        return scene
    if draw < 0.85:
        return _single(_creature(rng), rng)
    return _pair(rng)


def random_colours(scene: Scene, rng: random.Random) -> Scene:
    """Repaint a scene in colours that have no name, so that the autoencoder can draw any subject."""

    def any_colour() -> RGB:
        return (rng.randrange(256), rng.randrange(256), rng.randrange(256))

    things = tuple(replace(t, colour=any_colour(), accent=any_colour()) for t in scene.things)
    return replace(scene, things=things, background=any_colour())


def caption_of(scene: Scene, rng: random.Random) -> str:
    """Word a scene; now and then a detail is left out, or the background comes first."""
    phrases = [_phrase(thing, rng) for thing in scene.things]
    if scene.relation:
        subject = f" {scene.relation} ".join(phrases)
    else:
        place = scene.things[0].place
        subject = phrases[0] + (f" {place}" if place and rng.random() < 0.92 else "")
    tags = [subject]
    if scene.background_name and rng.random() < 0.92:
        tags.append(f"{scene.background_name} background")
    if rng.random() < 0.2:
        tags.reverse()
    return ", ".join(tags)


def _phrase(thing: Thing, rng: random.Random) -> str:
    words: list[str] = []
    if thing.size != "medium" and rng.random() < 0.9:
        words.append(thing.size)
    if thing.pattern in ("striped", "spotted") and rng.random() < 0.9:
        words.append(thing.pattern)
    if thing.pattern == "smiling" and rng.random() < 0.9:
        words.append("smiling")
    if thing.colour_name and rng.random() < 0.95:
        words.append(thing.colour_name)
        if thing.pattern == "two-tone" and thing.accent_name:
            words += ["and", thing.accent_name]
    words.append(thing.kind)
    if thing.creature and rng.random() < 0.5:
        words.append(f"with {thing.creature.ears} ears")
    return with_article(words)


def with_article(words: list[str]) -> str:
    """Return the words as a phrase that begins with "a" or "an"."""
    return " ".join(["an" if words[0][0] in "aeiou" else "a", *words])


def _wish(scene: Scene) -> Wish:
    thing = scene.things[0]
    return Wish(
        thing.kind, thing.colour_name or "", thing.size, thing.place or "", scene.background_name or ""
    )


def _single(thing: Thing, rng: random.Random) -> Scene:
    name = rng.choice(list(BACKGROUNDS))
    return Scene((thing,), BACKGROUNDS[name], name)


def _shape(rng: random.Random) -> Thing:
    pattern = rng.choices(PATTERNS, weights=(50, 14, 12, 10, 14))[0]
    return _thing(rng.choice(SHAPES), pattern, rng)


def _creature(rng: random.Random) -> Thing:
    pattern = rng.choices(PATTERNS[:3], weights=(70, 15, 15))[0]
    creature = Creature(
        body=rng.choice(BODIES),
        ears=rng.choice(EARS),
        eyes=rng.choices((1, 2, 3), weights=(2, 6, 1))[0],
        mouth=rng.choice(("smile", "open", "flat")),
        belly=rng.random() < 0.5,
        feet=rng.random() < 0.6,
        arms=rng.random() < 0.4,
    )
    thing = replace(_thing("creature", pattern, rng), creature=creature)
    if rng.random() < 0.1:
        unnamed = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
        return replace(thing, colour=unnamed, colour_name=None)
    return thing


def _thing(kind: str, pattern: str, rng: random.Random) -> Thing:
    colour, accent = rng.sample(list(COLOURS), 2)
    size, place = rng.choice(list(SIZES)), rng.choice(list(PLACES))
    x, y = PLACES[place]
    return Thing(
        kind=kind,
        colour=COLOURS[colour],
        accent=COLOURS[accent],
        size=size,
        radius=SIZES[size] * rng.uniform(0.94, 1.06),
        centre=(x + rng.uniform(-1.5, 1.5), y + rng.uniform(-1.5, 1.5)),
        pattern=pattern,  # pyright: ignore[reportArgumentType]
        colour_name=colour,
        accent_name=accent,
        place=place,
    )


def _pair(rng: random.Random) -> Scene:
    """Two shapes, side by side or one behind the other."""
    back, front = _shape(rng), _shape(rng)
    relation = rng.choice(("and", "behind"))
    gap = 15.0 if relation == "and" else 7.0
    small = SIZES["small"] * rng.uniform(1.0, 1.25)
    back = replace(back, centre=(32 - gap, 32 + rng.uniform(-6, 6)), radius=small, place=None, size="medium")
    front = replace(
        front, centre=(32 + gap, 32 + rng.uniform(-6, 6)), radius=small, place=None, size="medium"
    )
    name = rng.choice(list(BACKGROUNDS))
    return Scene((back, front), BACKGROUNDS[name], name, relation)
