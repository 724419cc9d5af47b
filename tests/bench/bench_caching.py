"""Speed and memory of caching pictures: ``python tests/bench/bench_caching.py``.

Speed: pictures per second of our caching to disk beside the VAE of diffusers alone, which is given the same
pixels, opened before. The VAE has the size of Stable Diffusion's with random weights, at 512 px, on the CPU.
Both run in alternating blocks, so that whatever else the machine does meets both.

Memory: how much the peak of the resident memory grows when a tiny VAE caches 1000 small pictures to disk
instead of 200, each in a process of its own. Options: ``--blocks``, ``--pictures`` (per block), ``--only``.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_widgets.config.training_config import TrainingConfig
from lora_widgets.data.dataset import Dataset
from lora_widgets.data.facts import facts_for
from lora_widgets.families.in_memory import keep_large_blocks_apart
from lora_widgets.families.strips import compute_in_strips
from lora_widgets.training.caching import cache_latents
from lora_widgets.training.control import Control
from lora_widgets.training.known_parts import KnownParts, PartOnDemand
from lora_widgets.training.precision import precision_of

SCALE = 0.18215
FEW, MANY = 200, 1000


class OnlyVae:
    """As much of an autoencoder as caching asks for, computed as diffusers does."""

    def __init__(self, channels: tuple[int, ...], layers: int) -> None:
        torch.manual_seed(0)
        self.model = AutoencoderKL(
            block_out_channels=channels,
            layers_per_block=layers,
            down_block_types=("DownEncoderBlock2D",) * len(channels),
            up_block_types=("UpDecoderBlock2D",) * len(channels),
            latent_channels=4,
            norm_num_groups=min(32, channels[0]),
        ).eval()

    def load(self, device: object, dtype: object) -> None: ...

    def origin(self, dtype: object) -> None: ...

    def fingerprint(self) -> str:
        return "vae"

    @torch.no_grad()
    def encode(self, pixels: torch.Tensor, *, generator: list[torch.Generator]) -> torch.Tensor:
        posterior = self.model.encode(pixels, return_dict=False)[0]
        noise = torch.stack([torch.randn(posterior.mean.shape[1:], generator=one) for one in generator])
        return (posterior.mean + posterior.std * noise) * SCALE


def make_pictures(folder: Path, count: int, side: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.png", compress_level=1)


def new_dataset(folder: Path, cache: Path, side: int) -> tuple[SimpleNamespace, Dataset]:
    config = TrainingConfig(
        project_name="bench",
        model_type="SD1.5",
        pretrained_model_name_or_path="none",
        train_data_dir=str(folder),
        output_dir="none",
        resolution=side,
        min_bucket_reso=side,
        max_bucket_reso=side,
        cache_latents_to_disk=True,
        cache_dir=str(cache),
        vae_batch_size=1,
    )
    found = facts_for(config)
    dataset = Dataset(found.scan.images, found.plan, found.scan.parts, seed=0)
    return SimpleNamespace(config=config), dataset


def cache_all(plan: SimpleNamespace, dataset: Dataset, vae: OnlyVae) -> None:
    plan.family = SimpleNamespace(vae=vae)
    precision, known = precision_of("no"), KnownParts(Path(plan.config.cache_dir) / "parts")
    on_demand = PartOnDemand.vae(vae, known, precision)
    for _ in cache_latents(plan, dataset, on_demand, precision, Control()):
        pass


def encode_all(pixels: list[torch.Tensor], vae: OnlyVae) -> None:
    for one in pixels:
        vae.encode(one, generator=[torch.Generator().manual_seed(0)])


def compare_speed(*, blocks: int, pictures: int) -> None:
    """Print both medians and the median and spread of the ratio of neighbouring blocks."""
    keep_large_blocks_apart()  # as a run does
    vae, ours_in_strips = (OnlyVae((128, 256, 512, 512), 2) for _ in range(2))
    compute_in_strips(ours_in_strips.model)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "pictures"
        make_pictures(folder, pictures, 640)
        _, dataset = new_dataset(folder, Path(work) / "none", 512)
        opened = [
            dataset.pixels_of(index, crop=dataset.placement_of(index).crop, flip=False)[None]
            for index in range(pictures)
        ]
        encode_all(opened[:1], vae)
        pairs = []
        for block in range(blocks):
            ours = new_dataset(folder, Path(work) / f"cache-{block}", 512)
            runs = [
                ("vae", partial(encode_all, opened, vae)),
                ("ours", partial(cache_all, *ours, ours_in_strips)),
            ]
            taken = {}
            for name, run in runs if block % 2 == 0 else reversed(runs):
                began = time.perf_counter()
                run()
                taken[name] = (time.perf_counter() - began) / pictures
            pairs.append((taken["vae"], taken["ours"]))
    ratios = sorted(alone / ours for alone, ours in pairs)
    print(
        f"speed: VAE alone {1 / statistics.median(p[0] for p in pairs):.3f} pictures/s, "
        f"caching {1 / statistics.median(p[1] for p in pairs):.3f} pictures/s, "
        f"ratio median {statistics.median(ratios):.3f} (min {ratios[0]:.3f}, max {ratios[-1]:.3f}, "
        f"{blocks} blocks of {pictures} pictures)"
    )


def peak_while_caching(count: int) -> None:
    """Print the peak of this process in MB after caching ``count`` pictures and reading every latent once."""
    vae = OnlyVae((4, 4, 4, 4), 1)
    with tempfile.TemporaryDirectory() as work:
        make_pictures(Path(work) / "pictures", count, 256)
        plan, dataset = new_dataset(Path(work) / "pictures", Path(work) / "cache", 256)
        cache_all(plan, dataset, vae)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def compare_memory() -> None:
    peaks = {}
    for count in (FEW, MANY):
        command = [sys.executable, __file__, "--peak", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[count] = float(done.stdout)
    growth = peaks[MANY] - peaks[FEW]
    in_memory = (MANY - FEW) * 4 * (256 // 8) ** 2 * 4 / 2**20
    print(
        f"memory: peak {peaks[FEW]:.1f} MB at {FEW} pictures, {peaks[MANY]:.1f} MB at {MANY}: grows by "
        f"{growth:.1f} MB, {growth * 1024 / (MANY - FEW):.2f} kB per picture (latents in memory: "
        f"{in_memory:.1f} MB)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=3)
    parser.add_argument("--only", choices=("speed", "memory"))
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(2)
    if options.peak:
        peak_while_caching(options.peak)
        return
    if options.only != "memory":
        compare_speed(blocks=options.blocks, pictures=options.pictures)
    if options.only != "speed":
        compare_memory()


if __name__ == "__main__":
    main()
