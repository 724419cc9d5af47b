"""How long the loop waits for its batches: ``python tests/bench/bench_waiting.py``.

Trains the mid-size model of bench_steps.py (about 50 million parameters, 256 px, batch 2) on photographs of
1200x900 px, whose latents are in memory, on disk, or made at each step, and reports which share of the steps'
time passed waiting. Options: ``--steps``, ``--case``.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

from bench_steps import SHARED, make_mid_model  # noqa: E402

from lora_widgets.data.prefetch import Prefetcher  # noqa: E402
from lora_widgets.demo.config import demo_config  # noqa: E402
from lora_widgets.events import StepDone  # noqa: E402
from lora_widgets.training import loop  # noqa: E402
from lora_widgets.training.start import iter_training  # noqa: E402

LIMIT = 0.01
PICTURES = 32
CASES = {
    "latents in memory": {"cache_latents": True},
    "latents on disk": {"cache_latents": True, "cache_latents_to_disk": True},
    "pictures at each step": {"cache_latents": False, "random_crop": True, "flip_aug": True},
}


class TimedPrefetcher(Prefetcher):
    """Adds up how long its consumer waits."""

    waited_s = 0.0

    def __next__(self):
        began = time.perf_counter()
        try:
            return super().__next__()
        finally:
            type(self).waited_s += time.perf_counter() - began


def make_pictures(folder: Path) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        coarse = Image.fromarray(rng.integers(0, 255, (9, 12, 3), dtype=np.uint8))
        coarse.resize((1200, 900), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=92)
        (folder / f"{number}.txt").write_text(f"a thing, number {number}", encoding="utf-8")


def share_of_waiting(config, steps: int) -> tuple[float, float]:
    """Return the share of the time of ``steps`` steps spent waiting, and the seconds per step."""
    events = iter_training(config)
    done, began = 0, 0.0
    for event in events:
        if not isinstance(event, StepDone):
            continue
        if event.step == 1:  # what comes before is filling the queue
            TimedPrefetcher.waited_s, began = 0.0, time.perf_counter()
        done = event.step - 1
        if done == steps:
            break
    taken = time.perf_counter() - began
    events.close()
    return TimedPrefetcher.waited_s / taken, taken / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--case", choices=CASES, action="append")
    options = parser.parse_args()
    torch.set_num_threads(2)
    loop.Prefetcher = TimedPrefetcher
    with tempfile.TemporaryDirectory() as work:
        make_mid_model(Path(work) / "model")
        make_pictures(Path(work) / "pictures" / "1_thing")
        for number, name in enumerate(options.case or CASES):
            config = demo_config(
                output_dir=f"{work}/{number}",
                pretrained_model_name_or_path=f"{work}/model",
                train_data_dir=f"{work}/pictures",
                resolution=256,
                max_bucket_reso=512,
                train_batch_size=2,
                cache_dir=f"{work}/cache",
                **{**SHARED, **CASES[name]},
            )
            share, seconds = share_of_waiting(config, options.steps)
            print(f"{name:22} {seconds * 1e3:.0f} ms/step, waiting {share:.2%} (limit {LIMIT:.0%})")


if __name__ == "__main__":
    main()
