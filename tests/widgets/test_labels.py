"""Tests of lora_widgets/widgets/labels.py."""

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from setting_values import SPECS

from lora_widgets.config.fields import fields_by_name
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.widgets.labels import help_text, label_html, sentence_html
from lora_widgets.widgets.view import FieldView

BATCH_SIZE = fields_by_name(TrainingConfig)["train_batch_size"]


class Page(HTMLParser):
    """Reads markup as a page does: elements, their titles, and the text."""

    def __init__(self, markup):
        super().__init__()
        self.elements, self.titles, self.runs = [], [], []
        self._is_new_run = True
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self._is_new_run = True
        self.titles += [value for name, value in attrs if name == "title"]

    def handle_endtag(self, tag):
        self._is_new_run = True

    def handle_data(self, data):
        if self._is_new_run:
            self.runs.append("")
        self.runs[-1] += data
        self._is_new_run = False

    @property
    def text(self):
        return "".join(self.runs)


def test_a_label_has_name_unit_and_help():
    page = Page(label_html(BATCH_SIZE, FieldView()))
    assert page.text.split() == ["Batch", "size", "pictures"]
    assert page.titles == [f"{BATCH_SIZE.help} (train_batch_size)"]


def test_reason_and_error_follow_the_name():
    view = FieldView(enabled=False, reason="not active yet", error="`seed` is 'x'.")
    page = Page(label_html(BATCH_SIZE, view))
    assert page.text.split() == ["Batch", "size", "pictures", "not", "active", "yet", "seed", "is", "'x'."]
    assert "code" in page.elements


@given(st.text())
def test_a_sentence_shows_all_its_signs_and_no_markup_of_its_own(text):
    page = Page(sentence_html(text))
    assert set(page.elements) <= {"span", "code"}
    plain = re.sub(r"`([a-z0-9_]+)`", r"\1", text)
    assert page.text.replace("\r", "\n") == plain.replace("\r", "\n")


@given(st.text(alphabet="$@\\([{0~`\nx"))
def test_no_sign_begins_mathematics(text):
    assert not set("$@\\") & set(sentence_html(text))  # pages look for them before they read the markup
    runs = Page(sentence_html(text)).runs  # and afterwards once more within each text
    assert all(run in "$@\\" or not set("$@\\") & set(run) for run in runs)


def test_every_label_is_one_element_with_its_help():
    for spec in SPECS:
        page = Page(label_html(spec, FieldView()))
        assert page.titles == [help_text(spec)]
        assert page.elements == ["span"] * (2 if spec.unit else 1)
