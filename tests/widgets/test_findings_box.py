"""Tests of lora_widgets/widgets/findings_box.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_widgets.config.fields import fields
from lora_widgets.config.findings import Finding, Fix, Severity
from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.widgets.findings_box import (
    MAX_BUTTONS,
    REMEMBERED_BUTTONS,
    FindingsBox,
    findings_html,
    place_of,
    verdict,
)
from lora_widgets.widgets.shared_look import SharedLook


def finding(number=0, *, severity=Severity.WARNING, message=None, fix=True):
    change = Fix(f"Set seed to {number}", {"seed": number}) if fix else None
    return Finding(severity, ("seed",), message or f"`seed` is {number}", "Take another.", change)


@pytest.fixture
def applied():
    return []


@pytest.fixture
def box(applied):
    return FindingsBox(applied.append, SharedLook())


def buttons(box):
    return box.box.children[1].children


def test_a_finding_says_how_serious_what_where_and_what_to_do():
    text = findings_html([finding(7)])
    for part in ("1 warning", ">Warning<", "<code>seed</code> is 7", "Take another.", "Dataset: Seed"):
        assert part in text


def test_the_list_is_announced_when_it_changes():
    assert 'role="status" aria-live="polite"' in findings_html([])


def test_each_way_to_settle_a_finding_has_a_button(box, applied):
    first, other = Fix("Turn one off", {"flip_aug": False}), Fix("Raise the other", {"seed": 2})
    box.show([Finding(Severity.ERROR, ("seed",), "Both.", "Choose.", first, (other,))])
    assert [button.description for button in buttons(box)] == ["Turn one off", "Raise the other"]
    buttons(box)[1].click()
    assert applied == [{"seed": 2}]


def test_nothing_to_say_is_said():
    assert verdict([]) == "Nothing to report: ready to train"


def test_findings_are_counted_by_severity():
    many = [finding(1, severity=Severity.ERROR), finding(2), finding(3), finding(4, severity=Severity.NOTE)]
    assert verdict(many) == "1 error, 2 warnings, 1 note"


def test_two_settings_of_the_same_label_are_told_apart():
    places = [place_of(spec.name) for spec in fields(TrainingConfig)]
    assert len(set(places)) == len(places)


@given(st.text(), st.text())
def test_nothing_from_a_user_becomes_markup(message, remedy):
    plain = findings_html([Finding(Severity.ERROR, ("<x>",), "m", "r")])
    text = findings_html([Finding(Severity.ERROR, ("<x>",), message + "<img>", remedy + "<img>")])
    allowed = text.count("<code>") + text.count("</code>")
    assert text.count("<") - allowed - (0 if remedy + "<img>" else 2) == plain.count("<")


def test_a_megabyte_in_a_message_is_cut():
    assert len(findings_html([finding(message="x" * 1_000_000)])) < 2_000


def test_a_click_applies_the_fix(box, applied):
    box.show([finding(1), finding(2)])
    buttons(box)[1].click()
    assert applied == [{"seed": 2}]


def test_findings_without_a_fix_have_no_button(box):
    box.show([finding(1, fix=False), finding(2)])
    assert [button.description for button in buttons(box)] == ["Set seed to 2"]


def test_a_late_click_never_applies_another_fix(box, applied):
    box.show([finding(1), finding(2)])
    first = buttons(box)[0]
    box.show([finding(2)])
    first.click()
    assert applied == []
    assert buttons(box)[0].description == "Set seed to 2"


def test_a_fix_that_stays_keeps_its_button(box):
    box.show([finding(1), finding(2)])
    second = buttons(box)[1]
    box.show([finding(2)])
    assert buttons(box) == (second,)


def test_the_same_fix_is_offered_once_and_few_in_all(box):
    box.show([finding(number // 2) for number in range(100)])
    assert len(buttons(box)) == MAX_BUTTONS
    assert len({button.description for button in buttons(box)}) == MAX_BUTTONS


def test_buttons_do_not_pile_up(box):
    for number in range(200):
        box.show([finding(number)])
    assert len(box._buttons) == REMEMBERED_BUTTONS
    assert buttons(box)[0].description == "Set seed to 199"


def test_buttons_share_layout_and_style(box):
    box.show([finding(number) for number in range(8)])
    assert len({button.layout for button in buttons(box)}) == 1
    assert len({button.style for button in buttons(box)}) == 1


def test_unchanged_findings_send_nothing(box):
    box.show([finding(1)])
    sent = []
    for widget in (*box.box.children, *buttons(box)):
        widget.observe(sent.append)
    box.show([finding(1)])
    assert sent == []
