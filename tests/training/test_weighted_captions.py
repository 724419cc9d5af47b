"""Weights of words act in training and samples, and cached captions carry them."""

from pathlib import Path

import pytest
from PIL import Image
from runs import losses, run

from lora_widgets.events import SampleReady

FROZEN = {"text_encoder_lr": 0.0, "max_train_steps": 2, "caption_prefix": "(wild:3),"}


@pytest.mark.parametrize("family", ["SD1.5", "SDXL"])
def test_cached_captions_carry_their_weights(config_of, tmp_path, family):
    weighted = config_of(family, **FROZEN, weighted_captions=True, output_name="live")
    disk = {"cache_text_encoder_outputs_to_disk": True, "cache_dir": str(tmp_path / "cache")}
    cached = weighted.with_changes(**disk, output_name="cached")
    plain = cached.with_changes(weighted_captions=False, output_name="plain")
    live = losses(run(weighted))
    assert losses(run(cached)) == pytest.approx(live, rel=1e-5)
    assert losses(run(plain)) != pytest.approx(live, rel=1e-5)  # from the same folder of caches


def test_weights_act_in_samples_too(make_config, tmp_path):
    def drawn(name, prompt, **changes):
        config = make_config(
            **changes, max_train_steps=1, output_name=name, sample_every_n_steps=9, sample_prompts=prompt
        )
        (picture,) = [event for event in run(config) if isinstance(event, SampleReady)]
        with Image.open(Path(picture.path)) as image:
            return image.tobytes()

    line = "a {} thing --s 2 --d 1 --l 3 --n ({}:1.5)"
    weighted = drawn("weighted", line.format("(red:1.4)", "blue"), weighted_captions=True)
    assert weighted == drawn("same", line.format("(red:1.4)", "blue"), weighted_captions=True)
    assert weighted != drawn("other", line.format("red", "blue"), weighted_captions=True)
    assert weighted != drawn("words", line.format("(red:1.4)", "blue"))
