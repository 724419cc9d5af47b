"""Tests of lora_widgets/widgets/thumbnails.py."""

import base64
import io

from PIL import Image

from lora_widgets.widgets.thumbnails import encode, image_tag, thumbnail


def decoded(picture):
    return Image.open(io.BytesIO(base64.b64decode(picture.url.partition(",")[2])))


def test_a_small_picture_is_sent_exactly_and_shown_crisp():
    source = Image.effect_noise((64, 64), 90).convert("RGB")
    picture = encode(source)
    assert decoded(picture).tobytes() == source.tobytes()
    assert "pixelated" in image_tag(picture, text="")


def test_a_large_picture_is_made_smaller_in_proportion():
    picture = encode(Image.new("RGB", (1024, 2048)))
    assert decoded(picture).size == (256, 512)
    assert picture.ratio == 2
    assert "pixelated" not in image_tag(picture, text="")


def test_an_unreadable_picture_says_so(tmp_path):
    torn = tmp_path / "torn.png"
    Image.new("RGB", (64, 64)).save(torn)
    torn.write_bytes(torn.read_bytes()[:60])
    for path in (torn, tmp_path / "missing.png"):
        assert "not readable" in image_tag(thumbnail(path), text="x")


def test_a_description_cannot_leave_its_attribute():
    tag = image_tag(encode(Image.new("RGB", (8, 8))), text='" onerror="alert(1)"><script>')
    assert "<script" not in tag
    assert 'onerror="' not in tag
