"""Scenes, their pictures and captions are functions of a seed, and the held-out ones are never shown."""

import random

from lora_widgets.demo.drawing import SIZE, draw
from lora_widgets.demo.pictures import (
    SHAPES,
    Wish,
    caption_of,
    held_out,
    held_out_wishes,
    random_scene,
)


def test_the_same_seed_gives_the_same_pictures_and_captions():
    def twenty():
        rng = random.Random(3)
        scenes = [random_scene(rng) for _ in range(20)]
        return [(caption_of(s, rng), draw(s).tobytes()) for s in scenes]

    assert twenty() == twenty()


def test_pictures_have_the_size_the_model_was_made_for():
    assert draw(random_scene(random.Random(0))).size == (SIZE, SIZE)


def test_no_training_scene_shows_a_held_out_combination():
    rng = random.Random(1)
    for _ in range(3000):
        scene = random_scene(rng)
        thing = scene.things[0]
        if len(scene.things) == 1 and thing.kind in SHAPES:
            wish = Wish(thing.kind, thing.colour_name, thing.size, thing.place, scene.background_name)
            assert not held_out(wish)


def test_held_out_wishes_are_different_and_held_out():
    wishes = held_out_wishes(200, seed=1)
    assert len(set(wishes)) == 200
    assert all(held_out(wish) for wish in wishes)


def test_captions_read_as_english():
    wish = Wish("star", "orange", "medium", "on the left", "navy")
    assert wish.caption == "an orange star on the left, navy background"
