"""How soon the dry run of a data set is there: ``python tests/bench/bench_preview.py``.

Draws a thousand pictures of about a megapixel, reads them once so that the disk is warm, and measures what a
person waits for: the first page without and with its pictures, a page turn, the comparison of all pictures,
and the page on disk. Options: ``--count``, ``--format png``, ``--rounds``.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS.parent), str(TESTS), str(TESTS / "browser")]

from PIL import Image  # noqa: E402
from preview_pictures import scene  # noqa: E402
from until import until  # noqa: E402

from lora_widgets import DatasetPreview, demo_config  # noqa: E402
from lora_widgets.preview.dry_run import dry_run  # noqa: E402
from lora_widgets.preview.report import look_at_all, report_page  # noqa: E402

LIMIT_FIRST_PAGE_S = 2.0
DRAWN = 40  # different scenes; the rest are these with another grain


def write_many(folder, count, extension):
    """Write ``count`` pictures of photographic grain, none like another file."""
    scenes = [scene(number, 1.3) for number in range(DRAWN)]
    for number in range(count):
        picture, caption = scenes[number % DRAWN]
        grain = Image.effect_noise(picture.size, 20 + number % 7).convert("RGB")
        path = folder / "10_kite" / f"{number:05d}.{extension}"
        path.parent.mkdir(exist_ok=True)
        options = {"quality": 92} if extension == "jpg" else {"compress_level": 1}
        Image.blend(picture, grain, 0.15).save(path, **options)
        path.with_suffix(".txt").write_text(f"{caption}, number {number}")


def measure(config):
    """Return seconds by what was waited for."""
    times = {}
    begin = time.perf_counter()

    def note(name, since=begin):
        times[name] = time.perf_counter() - since

    preview = DatasetPreview(config)
    note("first page, numbers and captions")
    until(lambda: preview._is_page_complete, 600)
    note("first page with its pictures")
    turn = time.perf_counter()
    preview._next.click()
    until(lambda: preview._is_page_complete, 600)
    note("page turn while pictures are compared", turn)
    until(lambda: preview.compared is not None, 600)
    note("all pictures compared")
    turn = time.perf_counter()
    preview._next.click()
    note("page turn afterwards", turn)
    preview.close()
    begin = time.perf_counter()
    run = dry_run(config)
    page = report_page(run, look_at_all(run, lambda done: None))
    note(f"page on disk, {len(page) / 1e6:.1f} MB", begin)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--format", choices=("jpg", "png"), default="jpg")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_many(Path(folder), options.count, options.format)
        config = demo_config(
            train_data_dir=folder,
            output_dir="out",
            resolution=1024,
            max_bucket_reso=2048,
            shuffle_caption=True,
        )
        rounds = [measure(config) for _ in range(options.rounds)]
    print(f"{options.count} {options.format} pictures, median of {options.rounds}")
    medians = {name: statistics.median(times[name] for times in rounds) for name in rounds[0]}
    for name, seconds in medians.items():
        print(f"{name:<42}{seconds:8.2f} s")
    if medians["first page with its pictures"] > LIMIT_FIRST_PAGE_S:
        sys.exit(f"the first page takes longer than {LIMIT_FIRST_PAGE_S:g} s")


if __name__ == "__main__":
    main()
