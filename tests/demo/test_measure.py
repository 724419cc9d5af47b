"""The rules read from pixels what was drawn, and see what is wrong."""

import random
from dataclasses import replace

from PIL import Image

from lora_widgets.demo.drawing import draw
from lora_widgets.demo.measure import Reading, read, scene_is_right, shape_is_right
from lora_widgets.demo.pictures import BACKGROUNDS, COLOURS, PLACES, SHAPES, SIZES, Scene, Thing, Wish


def scene_of(wish: Wish) -> Scene:
    thing = Thing(
        kind=wish.shape,
        colour=COLOURS[wish.colour],
        accent=COLOURS[wish.colour],
        size=wish.size,
        radius=SIZES[wish.size],
        centre=PLACES[wish.place],
        pattern="plain",
        colour_name=wish.colour,
        accent_name=None,
        place=wish.place,
    )
    return Scene((thing,), BACKGROUNDS[wish.background], wish.background)


def random_wishes(count):
    rng = random.Random(4)
    return [
        Wish(*(rng.choice(list(options)) for options in (SHAPES, COLOURS, SIZES, PLACES, BACKGROUNDS)))
        for _ in range(count)
    ]


def test_drawn_scenes_are_read_as_drawn():
    pairs = [(draw(scene_of(wish)), wish) for wish in random_wishes(300)]
    assert all(scene_is_right(*pair) for pair in pairs)
    assert sum(shape_is_right(*pair) for pair in pairs) >= 0.97 * len(pairs)


def test_every_kind_of_error_is_seen():
    wish = Wish("star", "red", "big", "in the middle", "white")
    picture = draw(scene_of(wish))
    assert scene_is_right(picture, wish)
    assert shape_is_right(picture, wish)
    for change in ({"colour": "blue"}, {"background": "navy"}, {"place": "at the top"}):
        assert not scene_is_right(picture, replace(wish, **change))
    assert not shape_is_right(picture, replace(wish, shape="heart"))


def test_an_empty_picture_shows_a_background_only():
    assert read(Image.new("RGB", (64, 64), BACKGROUNDS["mint"])) == Reading("mint", None, None, None)
