"""Seconds to find and bucket many pictures: ``python tests/bench/bench_scan.py``.

Makes data sets of small files with captions, of growing size, and reports the time of a scan and of a plan of
buckets (best of several, the files being in memory) and the growth from one size to the next: 1.0 is linear.
Options: ``--pictures`` (several), ``--rounds``, ``--kind``, ``--captions none``, ``--profile``.
"""

import argparse
import cProfile
import io
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.facts import plan_part
from lora_widgets.data.scan import scan
from lora_widgets.demo.config import demo_config

SIZES = ((64, 64), (96, 64), (64, 96), (80, 60))
FOLDERS = 4
LIMIT_S_PER_10_000 = 3.0


def contents(kind: str) -> list[bytes]:
    """One file of each size."""
    made = []
    for size in SIZES:
        file = io.BytesIO()
        options = {}
        if kind == "phone":  # JPEG with Exif, which only Pillow may read
            options["exif"] = Image.Exif()
            options["exif"][0x0112] = 6
        Image.radial_gradient("L").resize(size).convert("RGB").save(
            file, "JPEG" if kind == "phone" else kind, **options
        )
        made.append(file.getvalue())
    return made


@contextmanager
def data_set(pictures: int, kind: str, captions: str) -> Iterator[Path]:
    """Make numbered folders with ``pictures`` files in all."""
    files = contents(kind)
    extension = {"phone": "jpg", "jpeg": "jpg"}.get(kind, kind)
    with tempfile.TemporaryDirectory() as work:
        for number in range(pictures):
            folder = Path(work) / f"{number % FOLDERS + 1}_thing"
            folder.mkdir(exist_ok=True)
            (folder / f"{number:07}.{extension}").write_bytes(files[number % len(files)])
            if captions == "all":
                (folder / f"{number:07}.txt").write_text(f"thing, number {number}", encoding="utf-8")
        yield Path(work)


def best_of(rounds: int, work: Callable[[], object]) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def measure(config: TrainingConfig, pictures: int, rounds: int) -> tuple[float, float]:
    """Return the seconds of a scan and of the plan of its buckets."""
    found = scan(config)
    assert len(found.images) == pictures, found.skipped[:3]
    scanning = best_of(rounds, lambda: scan(config))
    planning = best_of(
        rounds,
        lambda: plan_part(config, found.images),
    )
    return scanning, planning


def report(counts: Sequence[int], scans: Sequence[float], plans: Sequence[float]) -> None:
    for name, seconds in (("scan", scans), ("buckets", plans)):
        for place, (count, taken) in enumerate(zip(counts, seconds, strict=True)):
            line = f"{name}: {count} pictures in {taken:.2f} s, {taken / count * 1e6:.0f} us each"
            if place:
                growth = taken / seconds[place - 1] / (count / counts[place - 1])
                line += f", {growth:.2f} of linear growth from {counts[place - 1]}"
            print(line)
    taken = scans[0] / counts[0] * 10_000
    share = taken / LIMIT_S_PER_10_000
    print(f"limit: {taken:.2f} s of {LIMIT_S_PER_10_000} s for 10000 pictures, ratio {share:.2f}")


def profile(config: TrainingConfig) -> None:
    profiler = cProfile.Profile()
    profiler.runcall(scan, config)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(14)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, nargs="+", default=[10_000, 20_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", choices=("png", "jpeg", "webp", "bmp", "phone"), default="png")
    parser.add_argument("--captions", choices=("all", "none"), default="all")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    scans, plans = [], []
    for count in options.pictures:
        with data_set(count, options.kind, options.captions) as folder:
            config = demo_config(train_data_dir=str(folder), output_dir="unused", max_bucket_reso=128)
            seconds = measure(config, count, options.rounds)
            scans.append(seconds[0])
            plans.append(seconds[1])
            if options.profile:
                profile(config)
    report(options.pictures, scans, plans)


if __name__ == "__main__":
    main()
