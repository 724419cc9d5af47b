"""What the dry run shows, as markup: chart, chips, cards, summary and the page of its own."""

import html.parser
import re

import pytest
from preview_folder import draw

from lora_widgets.data.tokens import Chip
from lora_widgets.preview.batches import BucketRow
from lora_widgets.preview.cards import Shown, card_html, cards_html
from lora_widgets.preview.chart import batches_text, bucket_chart, plain_name
from lora_widgets.preview.chips import chips_html, tokenizing
from lora_widgets.preview.dry_run import all_badges, dry_run
from lora_widgets.preview.report import look_at_all, report_page
from lora_widgets.preview.small_pictures import Look
from lora_widgets.preview.summary import figures_html, remarks_html, words_html

HOSTILE = '<script>alert("1")</script>'


def row(shown, *, last_batch=0, again=0):
    """A bucket of two pictures in batches of four."""
    return BucketRow((0, 64, 128), 2, shown, -(-shown // 4), 4, last_batch, again)


def text_of(markup):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", markup)).replace("\u00a0", " ").strip()


class Reader(html.parser.HTMLParser):
    """Collects tags with their attributes, and fails where they do not match."""

    VOID = frozenset({"meta", "img", "input", "rect"})

    def __init__(self, markup):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(markup)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def values(self, attribute):
        return [attributes[attribute] for _, attributes in self.tags if attribute in attributes]


@pytest.fixture
def page_of():
    def make(config):
        run = dry_run(config)
        return report_page(run, look_at_all(run, lambda done: None))

    return make


@pytest.mark.parametrize(
    ("bucket", "text"),
    [
        (row(8), "2 batches"),
        (row(9, last_batch=1), "3 batches, the last with 1 of 4"),
        (row(3, last_batch=3), "1 batch with 3 of 4"),
        (row(8, again=2), "2 batches, 2 pictures shown once more"),
    ],
)
def test_partial_batches_are_said_in_words(bucket, text):
    assert batches_text(bucket) == text


def test_bars_are_as_long_as_their_buckets_are_full():
    rows = [row(40), row(10, last_batch=2)]
    chart = bucket_chart(rows, name=plain_name)
    widths = [
        float(value) for value in re.findall(r'class="lw-(?:full|partial)" x="\S+" width="(\S+)"', chart)
    ]
    assert widths == [100, 20, 5]
    assert "64 × 128 2 pictures → 10 3 batches, the last with 2 of 4" in text_of(chart)
    Reader(chart)


def test_tokens_of_clip_say_nothing_where_t5_reads(make_config, tiny_flux):
    config = make_config(pretrained_model_name_or_path=str(tiny_flux))
    assert tokenizing(config) is not None
    assert tokenizing(config.with_changes(model_type="Flux")) is None


def test_chips_keep_words_together_and_say_where_the_caption_is_cut():
    chips = [
        Chip("zib", 0, is_cut=False),
        Chip("bo ", 0, is_cut=False),
        Chip("at ", 1, is_cut=False),
        Chip("", 1, is_cut=True),
        Chip("<b>", 1, is_cut=True),
    ]
    markup = chips_html(chips)
    assert ">zib</span><span" in markup
    assert ">bo</span> <span" in markup
    assert markup.count("lw-window") == 1
    assert "cut here: 2 tokens are lost" in markup
    assert "&lt;b&gt;" in markup
    Reader(markup)


def test_a_card_says_how_the_picture_gets_into_its_bucket(make_config, pictures):
    draw(pictures / "3_cat" / "wide.png", (1200, 640), caption="far away")
    run = dry_run(make_config())
    card = next(card for card in run.cards if card.image.path.name == "wide.png")
    markup = card_html(Shown(card, None, all_badges(card, None)), None)
    assert "1200 × 640 → 360 × 192 → 320 × 192, 11% cut off" in text_of(markup)
    assert "×3 per epoch · 3_cat" in text_of(markup)
    assert "epochs 1, 2, 3 far away" in text_of(markup)


def test_the_frame_is_where_training_cuts(make_config, pictures):
    draw(pictures / "3_cat" / "wide.png", (600, 256), caption="x")
    run = dry_run(make_config(enable_bucket=False))
    card = next(card for card in run.cards if card.image.path.name == "wide.png")
    assert card.placement.resized == (600, 256)
    box = re.search(
        r"left:(\S+)%;top:(\S+)%;width:(\S+)%;height:(\S+)%", card_html(Shown(card, None, ()), None)
    )
    left, top, width, height = (float(value) for value in box.groups())
    assert (left, top) == pytest.approx((100 * 172 / 600, 0), abs=0.01)
    assert (width, height) == pytest.approx((100 * 256 / 600, 100), abs=0.01)


def test_a_picture_that_cannot_be_opened_says_so(make_config):
    card = dry_run(make_config()).cards[0]
    assert "cannot be opened" in card_html(Shown(card, Look("", problem="torn"), ()), None)


def test_a_run_too_short_for_a_picture_says_so(make_config):
    run = dry_run(make_config(max_train_steps=1, max_train_epochs=0))
    texts = [text_of(card_html(Shown(card, None, ()), None)) for card in run.cards]
    assert sum("Not shown" in text for text in texts) >= 9


def test_figures_are_those_of_the_steps(make_config, pictures):
    (pictures / "3_cat" / "broken.png").write_bytes(b"")
    run = dry_run(make_config())
    figures = text_of(figures_html(run))
    assert "pictures 11 2 folders" in figures
    assert "shown per epoch 23" in figures
    assert f"steps {run.steps.total_steps} in 5 epochs" in figures
    assert "files skipped 1" in figures
    assert "broken.png : the file is empty" in text_of(remarks_html(run))


def test_a_length_that_is_not_known_is_no_number(make_config):
    run = dry_run(make_config(max_train_epochs=0, random_crop=True))
    assert run.steps is None
    assert "steps ? the configuration has errors" in text_of(figures_html(run))
    assert "random place" in text_of(remarks_html(run))


def test_folders_show_their_repeats_and_tags(make_config):
    words = text_of(words_html(dry_run(make_config())))
    assert "3_cat — 6 pictures ×3 = 18 per epoch" in words
    assert "a 10" in words


def test_the_page_stands_alone_and_its_parts_fit(make_config, page_of):
    page = page_of(make_config())
    reader = Reader(page)
    assert not [tag for tag, _ in reader.tags if tag in ("script", "link", "iframe", "object")]
    assert all(source.startswith("data:image/jpeg;base64,") for source in reader.values("src"))
    assert len(reader.values("src")) == 11
    assert "url(" not in page
    assert "http" not in page
    ids = reader.values("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in reader.values("href")} | set(reader.values("for")) <= set(ids)
    assert page.count("<article") == 11


def test_the_filters_of_the_page_know_every_mark_on_it(make_config, pictures, page_of):
    draw(pictures / "3_cat" / "tiny.png", (80, 80), caption="x")
    page = page_of(make_config())
    for slug in ("too-small", "no-caption"):
        assert f'id="show-is-{slug}"' in page
        assert f"#show-is-{slug}:checked ~ .lw-bucket .lw-card:not(.lw-is-{slug})" in page
    assert 'id="show-is-mask"' not in page


def test_nothing_from_files_becomes_markup(make_config, pictures, page_of):
    (pictures / "3_cat" / "0.txt").write_text(f"{HOSTILE}, b")
    (pictures / "3_cat").rename(pictures / "3_<b>cat")
    draw(pictures / "3_<b>cat" / '"><b>name.png', caption="x")
    draw(pictures / "3_<b>cat" / "0 copy.png", seed=sum(b"0.png"), caption="x")
    (pictures / "3_<b>cat" / "<i>empty.png").write_bytes(b"")
    plain = page_of(make_config())
    with_tokens = page_of(make_config(pretrained_model_name_or_path="demo"))
    for page in (plain, with_tokens):
        tags = {tag for tag, _ in Reader(page).tags}
        assert "script" not in tags
        assert HOSTILE not in page
        assert "<b>cat" not in page
        assert "<b>name" not in page
        assert "<i>empty" not in page
    assert "&lt;script&gt;alert(&quot;1&quot;)" in plain


def test_looking_makes_no_change_among_the_pictures(make_config, pictures, page_of):
    def state():
        return {path: path.stat().st_mtime_ns for path in pictures.rglob("*")}

    before = state()
    page_of(make_config())
    assert state() == before


def test_cards_of_a_grid_stand_in_their_order(make_config):
    run = dry_run(make_config())
    markup = cards_html([Shown(card, None, ()) for card in run.cards], tokenize=None)
    names = re.findall(r'class="lw-card-name"[^>]*>([^<]*)<', markup)
    assert names == [card.image.path.name for card in run.cards]


def test_parts_of_a_dataset_file_have_buckets_of_their_own(make_config, pictures, tmp_path, page_of):
    file = tmp_path / "parts.toml"
    part = "[[datasets]]\nresolution = {}\nbatch_size = {}\n[[datasets.subsets]]\nimage_dir = '{}'\n"
    cats, dogs = (str(pictures / name) for name in ("3_cat", "1_dog"))
    file.write_text(part.format(256, 2, cats) + part.format(256, 3, dogs))
    run = dry_run(make_config(dataset_config=str(file)))
    assert {row.key[0] for row in run.buckets} == {0, 1}
    assert {row.batch_size for row in run.buckets} == {2, 3}
    assert "batch sizes 2 to 3" in text_of(figures_html(run))
    page = page_of(run.config)
    assert 'id="bucket-256x256"' in page
    assert 'id="bucket-1-256x256"' in page
    assert str(file) in page
