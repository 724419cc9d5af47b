"""Which pictures are on the page: filters by bucket and by mark, and pages of equal length. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from lora_widgets.preview.cards import bucket_heading
from lora_widgets.preview.dry_run import Card, DryRun, all_badges
from lora_widgets.preview.marks import Compared, Mark
from lora_widgets.preview.numbers import counted, size_text

ALL = "all"
PROBLEMS = "problems"
T = TypeVar("T")


class Choice(NamedTuple):
    """An entry of a dropdown: what it says, and the value it stands for."""

    label: str
    value: object


@dataclass(frozen=True)
class Entry:
    """A card on the page; cards with the same ``heading`` (markup) stand together below it."""

    heading: str
    card: Card


def bucket_choices(run: DryRun) -> list[Choice]:
    """Offer all buckets together and each alone."""
    each = [Choice(f"{size_text(row.size)} ({row.pictures:,})", row.key) for row in run.buckets]
    return [Choice(f"all ({len(run.cards):,})", ALL), *each]


def mark_choices(run: DryRun, compared: Compared | None) -> list[Choice]:
    """Offer every picture, all with a problem, and each mark that occurs, with their numbers."""
    marks = [{badge.mark for badge in all_badges(card, compared)} for card in run.cards]
    problems = sum(any(mark.is_problem for mark in own) for own in marks)
    counts = [(mark, sum(mark in own for own in marks)) for mark in Mark]
    return [
        Choice("all pictures", ALL),
        Choice(f"with a problem ({problems:,})", PROBLEMS),
        *(Choice(f"{mark.value.lower()} ({count:,})", mark) for mark, count in counts if count),
    ]


def chosen(run: DryRun, compared: Compared | None, *, bucket: object, mark: object) -> list[Entry]:
    """List the cards that pass both filters, bucket by bucket, or group by group where they look alike.

    ``bucket`` and ``mark`` are values of the choices above.
    """
    cards = [card for card in run.cards if bucket in (ALL, card.bucket) and _passes(card, compared, mark)]
    if mark is Mark.DUPLICATE and compared is not None:
        return _grouped(cards, compared)
    headings = {row.key: bucket_heading(row) for row in run.buckets}
    return [Entry(headings[card.bucket], card) for card in cards]


def pages_of(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Cut into pages of ``size``; at least one, perhaps empty."""
    return [items[start : start + size] for start in range(0, len(items), size)] or [()]


def _passes(card: Card, compared: Compared | None, mark: object) -> bool:
    if mark == ALL:
        return True
    badges = all_badges(card, compared)
    if mark == PROBLEMS:
        return any(badge.mark.is_problem for badge in badges)
    return any(badge.mark is mark for badge in badges)


def _grouped(cards: Sequence[Card], compared: Compared) -> list[Entry]:
    by_number = {card.number: card for card in cards}
    return [
        Entry(f"Group {position}: {counted(len(group), 'picture')}", by_number[number])
        for position, group in enumerate(compared.groups, start=1)
        for number in group
        if number in by_number
    ]
