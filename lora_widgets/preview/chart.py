"""How full the buckets are: a table whose bars are drawn as SVG, so that every number is also text. Pure."""

from collections.abc import Callable, Sequence

from lora_widgets.preview.batches import BucketRow
from lora_widgets.preview.numbers import counted, size_text

ICON_SIDE = 22


def bucket_chart(rows: Sequence[BucketRow], *, name: Callable[[BucketRow], str]) -> str:
    """Draw a bar for each bucket: pictures x repeats, the paler end being a batch that is not full.

    ``name`` returns the markup of a bucket's name, for example a link.
    """
    longest = max(row.shown for row in rows)
    body = "".join(_row(row, longest, name(row)) for row in rows)
    head = (
        '<thead><tr><th scope="col">Bucket</th><th scope="col">Pictures × repeats</th>'
        '<th scope="col">Batches</th></tr></thead>'
    )
    return f'<table class="lw-buckets">{head}<tbody>{body}</tbody></table>'


def plain_name(row: BucketRow) -> str:
    """Name a bucket by its size."""
    return size_text(row.size)


def batches_text(row: BucketRow) -> str:
    """Write how many batches a bucket makes and how full the last is: 12 batches, the last with 1 of 4."""
    text = counted(row.batches, "batch")
    if row.again:
        return f"{text}, {counted(row.again, 'picture')} shown once more"
    if not row.last_batch:
        return text
    last = f"{row.last_batch} of {row.batch_size}"
    return f"{text} with {last}" if row.batches == 1 else f"{text}, the last with {last}"


def _row(row: BucketRow, longest: int, name: str) -> str:
    full, partial = row.shown - row.last_batch, row.last_batch
    shown = counted(row.pictures, "picture")
    if row.shown != row.pictures:
        shown += f" → {row.shown:,}"
    bars = _bar(0, full / longest, "lw-full") + _bar(full / longest, partial / longest, "lw-partial")
    svg = (
        f'<svg class="lw-bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{bars}</svg>'
    )
    return (
        f'<tr><th scope="row">{_icon(row.size)}<span>{name}</span></th>'
        f'<td class="lw-bar-cell">{svg}<span class="lw-number">{shown}</span></td>'
        f"<td>{batches_text(row)}</td></tr>"
    )


def _bar(start: float, length: float, css: str) -> str:
    if length <= 0:
        return ""
    return f'<rect class="{css}" x="{100 * start:.2f}" width="{100 * length:.2f}" y="0" height="10"/>'


def _icon(size: tuple[int, int]) -> str:
    """Draw the shape of a bucket."""
    width, height = (ICON_SIDE * 0.86 * side / max(size) for side in size)
    left, top = (ICON_SIDE - width) / 2, (ICON_SIDE - height) / 2
    return (
        f'<svg class="lw-shape" viewBox="0 0 {ICON_SIDE} {ICON_SIDE}" aria-hidden="true">'
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="1.5"/></svg>'
    )
