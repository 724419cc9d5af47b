"""Pictures as cards: what is kept of each and what is cut off, its numbers, badges and captions. Pure."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from lora_widgets.data.buckets import Placement
from lora_widgets.preview.batches import BucketRow
from lora_widgets.preview.chart import batches_text
from lora_widgets.preview.chips import Tokenize, chips_html
from lora_widgets.preview.dry_run import Card
from lora_widgets.preview.marks import Badge, Mark, cut_off
from lora_widgets.preview.numbers import counted, size_text
from lora_widgets.preview.showings import ShownCaption
from lora_widgets.preview.small_pictures import Look


@dataclass(frozen=True)
class Shown:
    """A card and what has been found out for it so far; ``look`` None: not opened yet."""

    card: Card
    look: Look | None
    badges: tuple[Badge, ...]


def cards_html(shown: Sequence[Shown], *, tokenize: Tokenize | None) -> str:
    """Lay the cards out in a grid."""
    return f'<div class="lw-cards">{"".join(card_html(one, tokenize) for one in shown)}</div>'


def card_html(shown: Shown, tokenize: Tokenize | None) -> str:
    """Draw one card; every text of the user's is escaped."""
    card = shown.card
    image, placement = card.image, card.placement
    name = html.escape(image.path.name)
    css = " ".join(f"lw-is-{badge.mark.slug}" for badge in shown.badges)
    problem = " lw-has-problem" if any(badge.mark.is_problem for badge in shown.badges) else ""
    return (
        f'<article class="lw-card {css}{problem}" id="picture-{card.number + 1}">'
        f"{_picture(shown)}"
        f'<div class="lw-card-name" title="{html.escape(str(image.path), quote=True)}">{name}</div>'
        f'<div class="lw-card-facts">{_facts(placement, image.size)}</div>'
        f'<div class="lw-card-facts">×{image.repeats:,} per epoch · {html.escape(image.folder)}</div>'
        f"{_badges(shown.badges)}"
        f'<div class="lw-captions">{_captions(card.captions, tokenize)}</div></article>'
    )


def bucket_heading(row: BucketRow) -> str:
    """Say what a bucket holds, above its cards."""
    text = f"{counted(row.pictures, 'picture')}, per epoch {batches_text(row)}"
    return f'<span class="lw-bucket-size">{size_text(row.size)}</span> <span class="lw-hint">{text}</span>'


def _picture(shown: Shown) -> str:
    """Draw the whole picture with the frame of what the model sees; the rest is dimmed."""
    placement = shown.card.placement
    width, height = placement.resized
    described = html.escape(f"{shown.card.image.path.name}, {_kept(placement)}", quote=True)
    if shown.look is None or shown.look.url is None:
        inside = '<span class="lw-hint">…</span>'
    elif shown.look.url:
        inside = f'<img src="{shown.look.url}" alt="{described}" loading="lazy" decoding="async"/>'
    else:
        inside = '<span class="lw-missing">cannot be opened</span>'
    ratio = f"aspect-ratio:{width}/{height};--lw-ratio:{width / height:.4f}"
    return (
        f'<div class="lw-stage"><div class="lw-whole" style="{ratio}">{inside}{_crop(placement)}</div></div>'
    )


def _crop(placement: Placement) -> str:
    if placement.resized == (placement.bucket.width, placement.bucket.height):
        return ""
    (width, height), (left, top) = placement.resized, placement.crop
    box = (
        f"left:{100 * left / width:.2f}%;top:{100 * top / height:.2f}%;"
        f"width:{100 * placement.bucket.width / width:.2f}%;"
        f"height:{100 * placement.bucket.height / height:.2f}%"
    )
    return f'<div class="lw-crop" style="{box}"></div>'


def _kept(placement: Placement) -> str:
    share = cut_off(placement)
    return f"{share:.0%} cut off" if share >= 0.005 else "nothing cut off"


def _facts(placement: Placement, size: tuple[int, int]) -> str:
    """Say how the picture gets into its bucket, naming only the steps that change something."""
    steps = [size_text(size)]
    if placement.resized != size:
        steps.append(size_text(placement.resized))
    bucket = (placement.bucket.width, placement.bucket.height)
    if placement.resized != bucket:
        steps.append(f"{size_text(bucket)}, {_kept(placement)}")
    return " → ".join(steps)


def _badges(badges: Sequence[Badge]) -> str:
    if not badges:
        return ""
    items = "".join(
        f'<span class="lw-badge lw-badge-{"problem" if badge.mark.is_problem else "fact"}" '
        f'title="{html.escape(badge.reason, quote=True)}">{html.escape(badge.text)}</span>'
        for badge in badges
    )
    alike = [badge.reason.partition(". ")[0] for badge in badges if badge.mark is Mark.DUPLICATE]
    line = f'<div class="lw-card-facts">{html.escape(alike[0])}</div>' if alike else ""
    return f'<div class="lw-badges">{items}</div>{line}'


def _captions(captions: Sequence[ShownCaption], tokenize: Tokenize | None) -> str:
    if not captions:
        return '<p class="lw-hint">Not shown: the run ends before its turn.</p>'
    return "".join(_caption(shown, tokenize) for shown in captions)


def _caption(shown: ShownCaption, tokenize: Tokenize | None) -> str:
    epochs = ", ".join(map(str, shown.epochs))
    label = f"epoch {epochs}" if len(shown.epochs) == 1 else f"epochs {epochs}"
    if not shown.caption:
        text = '<i class="lw-hint">no words</i>'
    elif tokenize is not None:
        text = chips_html(tokenize(shown.caption))
    else:
        text = html.escape(shown.caption)
    return f'<p><span class="lw-epochs">{label}</span> {text}</p>'
