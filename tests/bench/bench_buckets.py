"""Seconds to give 100,000 pictures of different sizes their buckets: ``python tests/bench/bench_buckets.py``.

Best of several, for each way of placing, beside the limit of one second. Option: ``--pictures``.
"""

import argparse
import random
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS / "data")]

from picture_list import picture  # noqa: E402

from lora_widgets.config.training_config import TrainingConfig  # noqa: E402
from lora_widgets.data.facts import plan_part  # noqa: E402

LIMIT_S = 1.0
SIDES = (300, 4000)
WAYS = {
    "by ratio": {},
    "never enlarged": {"bucket_no_upscale": True},
    "small buckets merged": {"partial_batches": "merge", "train_batch_size": 64},
    "one size": {"enable_bucket": False},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=100_000)
    count = parser.parse_args().pictures
    rng = random.Random(0)
    images = [picture((rng.randint(*SIDES), rng.randint(*SIDES)), 10) for _ in range(count)]
    config = TrainingConfig(
        project_name="bench", pretrained_model_name_or_path="demo", train_data_dir="x", output_dir="out"
    )
    for name, changes in WAYS.items():
        seconds = min(timed(config.with_changes(**changes), images) for _ in range(5))
        print(f"{name:22} {count} pictures in {seconds:.2f} s, ratio to the limit {seconds / LIMIT_S:.2f}")


def timed(settings, images):
    began = time.perf_counter()
    plan_part(settings, images)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
