"""The data set in numbers: figures, notes, skipped files, folders and tags. Pure."""

import html
from collections.abc import Iterable, Sequence

from lora_widgets.data.image_file import ImageFile
from lora_widgets.preview.dry_run import DryRun
from lora_widgets.preview.numbers import counted
from lora_widgets.preview.tags import by_folder, most_frequent, tag_counts

TAGS_SHOWN = 40


def title_text(run: DryRun) -> str:
    """Return the title, escaped."""
    return f"{html.escape(run.config.project_name)}: what the model will see"


def figures_html(run: DryRun) -> str:
    """Show the numbers that matter most, each in a box."""
    shown = sum(row.shown for row in run.buckets)
    batches = sum(row.batches for row in run.buckets)
    partial = sum(1 for row in run.buckets if row.last_batch)
    steps = run.steps
    figures = [
        ("pictures", f"{len(run.cards):,}", counted(len(by_folder(run.found.scan.images)), "folder")),
        ("shown per epoch", f"{shown:,}", "pictures × repeats"),
        ("buckets", f"{len(run.buckets):,}", _batch_sizes(run)),
        ("batches per epoch", f"{batches:,}", f"{partial:,} not full" if partial else "all full"),
        (
            "steps",
            f"{steps.total_steps:,}" if steps else "?",
            f"in {counted(steps.epochs, 'epoch')}" if steps else "the configuration has errors",
        ),
        ("files skipped", f"{len(run.found.scan.skipped):,}", "reasons below" if _skips(run) else "none"),
    ]
    boxes = "".join(
        f'<div class="lw-figure"><div class="lw-name">{name}</div><div class="lw-value">{value}</div>'
        f'<div class="lw-unit">{unit}</div></div>'
        for name, value, unit in figures
    )
    return f'<div class="lw-figures">{boxes}</div>'


def remarks_html(run: DryRun) -> str:
    """List what the user should know about the files: notes, and what is skipped and why."""
    parts: list[str] = []
    scan = run.found.scan
    notes = [*scan.notes]
    settings = [image.subset.settings for image in run.found.scan.images]
    if any(own.random_crop for own in settings):
        notes.append("`random_crop` is on: the frames show the centre, but training cuts at random places.")
    if any(own.alpha_mask for own in settings):
        notes.append("`alpha_mask` is on: the frames show all, but only what is opaque is learned.")
    if notes:
        parts.append(_list("Notes", map(html.escape, notes), is_open=True))
    if scan.skipped:
        reasons = (
            f"<b>{html.escape(skipped.path.name)}</b>: {html.escape(skipped.reason)}"
            for skipped in scan.skipped
        )
        parts.append(_list(f"{counted(len(scan.skipped), 'file')} skipped", reasons, is_open=False))
    return "".join(parts)


def words_html(run: DryRun) -> str:
    """Show the folders with their repeats, and the most frequent tags of each."""
    folders = by_folder(run.found.scan.images)
    parts = list(folders.items())
    if len(parts) > 1:
        parts.insert(0, ("All folders", list(run.found.scan.images)))
    return "".join(
        _tags(name, images, is_open=position == 0) for position, (name, images) in enumerate(parts)
    )


def _skips(run: DryRun) -> bool:
    return bool(run.found.scan.skipped)


def _batch_sizes(run: DryRun) -> str:
    sizes = sorted({row.batch_size for row in run.buckets})
    return f"batch size {sizes[0]}" if len(sizes) == 1 else f"batch sizes {sizes[0]} to {sizes[-1]}"


def _list(title: str, items: Iterable[str], *, is_open: bool) -> str:
    rows = "".join(f"<li>{item}</li>" for item in items)
    return _folded(title, f'<ul class="lw-remarks">{rows}</ul>', is_open=is_open)


def _tags(title: str, images: Sequence[ImageFile], *, is_open: bool) -> str:
    counts = tag_counts(images)
    tags = "".join(
        f'<span class="lw-tag">{html.escape(tag)} <b>{count:,}</b></span>'
        for tag, count in most_frequent(counts, TAGS_SHOWN)
    )
    more = len(counts) - TAGS_SHOWN
    rest = f'<span class="lw-hint">and {more:,} rarer ones</span>' if more > 0 else ""
    body = f'<div class="lw-tags">{tags or "<i>no words</i>"}{rest}</div>'
    return _folded(f"{html.escape(title)} — {_repeats(images)}", body, is_open=is_open)


def _repeats(images: Sequence[ImageFile]) -> str:
    repeats = sorted({image.repeats for image in images})
    shown = sum(image.repeats for image in images)
    times = f"×{repeats[0]:,}" if len(repeats) == 1 else f"×{repeats[0]:,} to ×{repeats[-1]:,}"
    return f"{counted(len(images), 'picture')} {times} = {shown:,} per epoch"


def _folded(title: str, body: str, *, is_open: bool) -> str:
    opened = " open" if is_open else ""
    return f'<details class="lw-fold"{opened}><summary>{title}</summary>{body}</details>'
