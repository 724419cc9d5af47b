"""Tests of lora_widgets/widgets/dataset_preview.py."""

import threading
import warnings

import pytest
from PIL import Image
from until import until

from lora_widgets import DatasetPreview as Exported
from lora_widgets.demo.config import demo_config
from lora_widgets.errors import DatasetError
from lora_widgets.preview import background_look
from lora_widgets.preview.marks import Mark
from lora_widgets.widgets import dataset_preview
from lora_widgets.widgets.dataset_preview import DatasetPreview


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_preview, "PAGE_SIZE", 4)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(9):
        size = (64, 64) if number % 2 else (96, 64)
        picture = Image.effect_noise((12, 8), 90 + number).resize(size).convert("RGB")
        picture.putpixel((0, 0), (number, 0, 0))
        picture.save(folder / f"{number}.png")
        if number:
            (folder / f"{number}.txt").write_text(f"number {number}")
    with Image.open(folder / "3.png") as picture:
        picture.save(folder / "copy of 3.png")
    (folder / "copy of 3.txt").write_text("number 3")
    return demo_config(train_data_dir=str(folder), output_dir=str(tmp_path / "out"), max_bucket_reso=128)


@pytest.fixture
def make_preview(config):
    made = []

    def make(changed=config):
        made.append(DatasetPreview(changed))
        return made[-1]

    yield make
    for preview in made:
        preview.close()


@pytest.fixture
def preview(make_preview):
    preview = make_preview()
    until(lambda: preview.compared is not None and "compared" in preview._looking.value)
    return preview


def choose(dropdown, label):
    dropdown.value = next(value for text, value in dropdown.options if text.startswith(label))


def names_on(preview):
    return [line.partition("<")[0] for line in preview._cards.value.split('lw-card-name" title="')[1:]]


def test_it_is_public():
    assert Exported is DatasetPreview


def test_pages_turn_to_the_end_and_back(preview):
    seen = [names_on(preview)]
    assert preview._previous.disabled
    while not preview._next.disabled:
        preview._next.click()
        seen.append(names_on(preview))
    assert [len(page) for page in seen] == [4, 4, 2]
    assert preview._pages.value == 2
    preview._next.click()  # a click that was on its way
    assert preview._pages.value == 2
    preview._previous.click()
    assert names_on(preview) == seen[1]
    preview._pages.value = 0
    assert names_on(preview) == seen[0]


def test_pictures_of_each_page_arrive(preview):
    for page in range(3):
        preview._pages.value = page
        until(lambda page=page: preview._cards.value.count("<img") == (4, 4, 2)[page])


def test_filters_begin_at_the_first_page_and_offer_what_was_found(preview):
    preview._next.click()
    choose(preview._marks, "look alike (2)")
    assert len(names_on(preview)) == 2
    assert "Group 1" in preview._cards.value
    assert list(preview._pages.options) == [("1 of 1", 0)]
    choose(preview._marks, "no caption (1)")
    assert len(names_on(preview)) == 1
    choose(preview._buckets, "64")
    assert preview._marks.value is Mark.NO_CAPTION


def test_a_filter_that_leaves_nothing_says_so(preview):
    rows = {row.key for row in preview.run.buckets}
    lonely = next(card.bucket for card in preview.run.cards if card.image.path.name == "0.png")
    choose(preview._marks, "no caption")
    preview._buckets.value = next(iter(rows - {lonely}), preview._buckets.value)
    assert ("No picture" in preview._cards.value) == (len(rows) > 1)


def test_the_first_page_waits_for_no_picture(make_preview, monkeypatch):
    gate = threading.Event()
    real = background_look.look_at

    def slow(path, side):
        gate.wait(20)
        return real(path, side)

    monkeypatch.setattr(background_look, "look_at", slow)
    preview = make_preview()
    assert len(names_on(preview)) == 4
    assert "<img" not in preview._cards.value
    preview._next.click()
    gate.set()
    until(lambda: preview.compared is not None)
    until(lambda: preview._cards.value.count("<img") == 4)
    assert preview._pages.value == 1


def test_what_a_filter_shows_stays_when_the_comparison_is_ready(make_preview, monkeypatch):
    gate = threading.Event()
    real = dataset_preview.compare

    def late(*arguments):
        gate.wait(20)
        return real(*arguments)

    monkeypatch.setattr(dataset_preview, "compare", late)
    preview = make_preview()
    choose(preview._marks, "no caption")
    gate.set()
    until(lambda: "compared" in preview._looking.value)
    assert preview._marks.value is Mark.NO_CAPTION
    assert len(names_on(preview)) == 1


def test_a_mistake_of_the_thread_is_shown(make_preview, monkeypatch):
    def broken(path, side):
        raise ZeroDivisionError("<b>none of ours</b>")

    monkeypatch.setattr(background_look, "look_at", broken)
    preview = make_preview()
    until(lambda: "ZeroDivisionError" in preview._looking.value)
    assert "<b>none" not in preview._looking.value


def test_no_picture_is_an_error_at_once(make_preview, config, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no pictures were found"):
        make_preview(config.with_changes(train_data_dir=str(tmp_path / "empty")))


def test_it_is_made_without_a_warning(make_preview):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_preview()
