"""The dry run as one HTML file: pictures inside, no script, nothing loaded from elsewhere."""

import html
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from lora_widgets.preview.batches import BucketKey, BucketRow
from lora_widgets.preview.cards import Shown, bucket_heading, cards_html
from lora_widgets.preview.chart import bucket_chart, plain_name
from lora_widgets.preview.chips import Tokenize
from lora_widgets.preview.dry_run import DryRun, all_badges
from lora_widgets.preview.marks import Compared, Mark, compare
from lora_widgets.preview.small_pictures import Look, look_at
from lora_widgets.preview.summary import figures_html, remarks_html, title_text, words_html

REPORT_SIDE = 160
_FOLDER = Path(__file__).parent


@lru_cache(maxsize=2)
def style(*sheets: str) -> str:
    """Return style sheets of this package as one `<style>` element."""
    return f"<style>{''.join((_FOLDER / sheet).read_text(encoding='utf-8') for sheet in sheets)}</style>"


def look_at_all(run: DryRun, progress: Callable[[int], None]) -> dict[int, Look]:
    """Open every picture, several at a time; ``progress`` gets the number of those done."""
    looks: dict[int, Look] = {}
    with ThreadPoolExecutor() as pool:
        paths = [card.image.path for card in run.cards]
        seen = pool.map(look_at, paths, [REPORT_SIDE] * len(paths))
        for card, look in zip(run.cards, seen, strict=True):
            looks[card.number] = look
            progress(len(looks))
    return looks


def report_page(run: DryRun, looks: Mapping[int, Look]) -> str:
    """Write the whole page."""
    compared = compare(looks, run.names)
    shown = [Shown(card, looks[card.number], all_badges(card, compared)) for card in run.cards]
    title = title_text(run)
    rows = {row.key: row for row in run.buckets}
    buckets = "".join(
        _bucket(rows[key], list(group), run.tokenize)
        for key, group in groupby(shown, key=lambda one: one.card.bucket)
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{title}</title>{style('dry_run.css', 'report.css')}{_filter_style()}</head>"
        f'<body><main class="lw-dry"><h1>{title}</h1>{_about(run)}{figures_html(run)}{remarks_html(run)}'
        f"<h2>Buckets</h2>{bucket_chart(run.buckets, name=_link)}"
        f"<h2>Folders and tags</h2>{words_html(run)}{_alike(run, compared)}"
        f"<h2>Pictures</h2>{_filters(shown)}{buckets}</main></body></html>"
    )


def _about(run: DryRun) -> str:
    source = html.escape(str(run.config.dataset_config or run.config.train_data_dir))
    return (
        f'<p class="lw-about">{source}, seed {run.config.seed}. The bright part of each picture is what is '
        "trained on; the captions are those with which the first epochs show it.</p>"
    )


def _anchor(key: BucketKey) -> str:
    part, width, height = key
    return f"bucket-{part}-{width}x{height}" if part else f"bucket-{width}x{height}"


def _link(row: BucketRow) -> str:
    return f'<a href="#{_anchor(row.key)}">{plain_name(row)}</a>'


def _bucket(row: BucketRow, shown: list[Shown], tokenize: Tokenize | None) -> str:
    return (
        f'<details class="lw-bucket" id="{_anchor(row.key)}" open><summary>{bucket_heading(row)}</summary>'
        f"{cards_html(shown, tokenize=tokenize)}</details>"
    )


def _alike(run: DryRun, compared: Compared) -> str:
    if not compared.groups:
        return ""
    names = run.names
    items = "".join(
        "<li>"
        + ", ".join(f'<a href="#picture-{number + 1}">{html.escape(names[number])}</a>' for number in group)
        + "</li>"
        for group in compared.groups
    )
    return f'<h2>Pictures that look alike</h2><ul class="lw-alike">{items}</ul>'


def _filters(shown: list[Shown]) -> str:
    """Offer, as radio buttons that only style sheets act on, the marks that occur."""
    marks = [{badge.mark for badge in one.badges} for one in shown]
    counts = {mark: sum(mark in own for own in marks) for mark in Mark}
    problems = sum(any(mark.is_problem for mark in own) for own in marks)
    choices = [("all", f"All ({len(shown):,})"), ("has-problem", f"With a problem ({problems:,})")]
    choices += [(f"is-{mark.slug}", f"{mark.value} ({count:,})") for mark, count in counts.items() if count]
    inputs = "".join(
        f'<input class="lw-filter" type="radio" name="filter" id="show-{slug}"'
        f"{' checked' if slug == 'all' else ''}/>"
        for slug, _ in choices
    )
    labels = "".join(f'<label for="show-{slug}">{text}</label>' for slug, text in choices)
    return f'{inputs}<div class="lw-filters">{labels}</div>'


def _filter_style() -> str:
    slugs = ["has-problem", *(f"is-{mark.slug}" for mark in Mark)]
    rules = [
        f"#show-{slug}:checked ~ .lw-bucket .lw-card:not(.lw-{slug}),"
        f"#show-{slug}:checked ~ .lw-bucket:not(:has(.lw-{slug})){{display:none}}"
        for slug in slugs
    ]
    rules += [
        f'#show-{slug}:checked ~ .lw-filters label[for="show-{slug}"]'
        "{background:#2563c9;border-color:transparent;color:#fff}"
        for slug in ["all", *slugs]
    ]
    rules += [
        f'#show-{slug}:focus-visible ~ .lw-filters label[for="show-{slug}"]'
        "{outline:2px solid var(--lw-accent);outline-offset:2px}"
        for slug in ["all", *slugs]
    ]
    return f"<style>{''.join(rules)}</style>"
